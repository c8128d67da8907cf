"""The storybook world: things, animals and people on scenes of 256 x 256 pixels, and what is trained on it."""
