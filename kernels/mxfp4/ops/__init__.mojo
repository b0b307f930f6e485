"""The operations that MAX graphs call: every entry point of the package, and nothing else.

An op checks shapes and alignment, and enqueues. `grouped_matmul`, `pack` and `routing` make the expert layer, `dense` the
other products, `logits` what follows them.
"""
