"""FastComposer's training, on the tiny world's creatures or on a folder of pictures."""
