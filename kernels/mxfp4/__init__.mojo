"""MXFP4 mixture-of-experts kernels for Hopper GPUs (sm_90a), registered as MAX custom operations.

`ops` registers the operations. `moe` is the expert layer with the MXFP4 grouped matmul, `dense` the model's other products,
`logits` what follows them. `format` says what codes and scales mean, `layout` where packed weights lie, and `pack` packs them.
`mma_tile` multiplies tiles of bf16, `ptx` has the instructions without a stable name in the library.
"""
