"""Dense matmuls that stay within their outputs: `matmul` chooses among `few`, which is made for few tokens, `head`, which is
made for logits, and MAX's own. `tile` is what `few` and `head` are made of.
"""
