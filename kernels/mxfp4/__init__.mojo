"""MXFP4 mixture-of-experts kernels for Hopper GPUs (sm_90a), registered as MAX custom operations.

`ops` registers the operations, `grouped_matmul` is the kernel, `layout` says where packed weights lie, `format` what
they mean. `routing` is the rest of the expert layer (`route_many` its router for many tokens), `dense` the model's other
products (`dense_few` its kernel for few tokens, `dense_head` that for logits, `dense_tile` what both are made of), `health` a
look at the logits, `padding` masks those of no token and `token_mask` those that a grammar does not allow.
"""
