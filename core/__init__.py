"""The nouns and verbs of attention. Needs torch only; never imports ComfyUI.

Shape letters, the same in every file:
    B   rows of the model call (images x conditionings)      H   attention heads
    Nq  query tokens (h*w pixels of the layer)               Nk  key tokens (pixels, or words)
    D   width of one head                                    h,w pixel grid of the layer
    R   regions                                              T   tokens of a prompt

Reading order, each module importing only those before it:
    sequence, words, text, network, schedule, range_rule, call, attention, ruled, method, hooks, then one file per
    method (regions, ...).
"""
