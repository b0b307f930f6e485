"""What is done to the logits before a sampler draws from them: `health` counts rows that cannot be, `padding` masks the columns
of no token, and `token_mask` those that a grammar does not allow.
"""
