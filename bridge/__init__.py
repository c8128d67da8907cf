"""The one room that speaks ComfyUI: prompts, conversions, hooks on the model, the run around them."""
