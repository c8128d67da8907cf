"""One module a bench; each has ``run(limit) -> rows``."""
