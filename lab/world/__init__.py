"""The tiny world: pictures we render, so that the truth about each of them is known exactly."""
