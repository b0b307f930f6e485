"""The MXFP4 x bf16 grouped matmul for Hopper (sm_90a): y[rows of g] = x[rows of g] @ dequantize(w[expert of g])^T.

One persistent kernel. `kernel` sets a block up and gives its warps their roles: `producer` fills a ring of slots in shared
memory, `consumer` decodes and multiplies what it finds there (`decode`), `epilogue` finishes the sums and stores them.
`config` says what follows from the shape of a tile, `shared_memory` where everything stands, and `launch` is what callers
enqueue.

- Weights are the A operand of WGMMA, from registers: 16 bytes of codes a lane, decoded by bit operations, never written
  back. Tokens are the B operand, from shared memory. So weight rows fill the 64 rows of the instruction, and a batch
  of 8 tokens wastes nothing.
- A thread block has one warpgroup that loads: a thread for each 64 weight rows streams weights (`cp.async.bulk`), two
  warps gather tokens (`cp.async`, 16 bytes a lane, written in the 128-byte swizzle that WGMMA reads). The others
  multiply: with few tokens four of them, which share the K of the same rows, with many two, 64 weight rows each. A ring
  of `STAGES` slots stands between, with a full and an empty barrier a slot.
- All shapes are runtime values; only the largest number of tokens in a tile is compiled in (`TOKENS`).

docs/explanation/kernel.md tells why it is so and what else was tried.

The numeric contract: see `format.mojo`; products are accumulated in float32, the epilogue is float32, and the result is
rounded to bf16 once.
"""
