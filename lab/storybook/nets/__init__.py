"""The networks in plain torch, under the host's parameter names, so that training needs torch alone.

Shapes: B rows, H heads, N tokens, T text tokens, C channels. Where a layer is supervised its attention is explicit
and says how much the words of each part are read: float [B, N, parts].
"""
