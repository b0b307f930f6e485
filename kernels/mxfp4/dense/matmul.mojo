"""Dense matmuls that stay within their outputs: for few tokens `few.mojo`, and to float32 `head.mojo`; for more
MAX's own in whole tiles, and those two for the tokens that fill none.

The sm_90 matmul of MAX 26.7 writes whole tiles, also where the output ends before: with 6 tokens, 122 rows of whatever stands
behind it in memory. In GPT-OSS that was the residual stream. An epilogue that stores for it is given each value within bounds,
but takes nearly as long as the products; TMA, which would end where the output does, adds a bias to other columns than its
own. So it is given no rows but those of whole tiles.

Logits are float32: between 4 and 8 those of bf16 are 2^-5 apart, and what a client reads as log-probabilities would be that
coarse, however exact the layers before were. With a float32 output MAX's matmul takes no epilogue, and where the rows of
weights fill no whole tiles it stores the last ones wrongly. A head's 201088 rows are 1571 tiles of 128.
"""

from std.utils.index import Index

from layout import Coord, Idx, TileTensor, row_major
from linalg.matmul.gpu.sm90.matmul import warp_specialize_gemm_with_multicasting
from linalg.utils_gpu import MatmulConfig
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace

from ..pointers import BF16, Floats
from .few import dense_few
from .head import dense_head

comptime TILE_TOKENS = 128
"""Tokens of a tile of MAX's matmul: two warpgroups have 64 each."""
comptime MANY_TOKENS = 2 * TILE_TOKENS
"""From here on whole tiles are worth a second launch for the rest: one of them alone takes as long as `dense_few`."""
comptime TILE_STEP = 64
"""Features that a tile multiplies at once."""
comptime TILE_SLOTS = 4
"""Steps under way."""


comptime HEAD_TILE_ROWS = 128
"""Rows of weights of a tile whose result is float32: what 201088 is made of, and the most of which 256 tokens fit."""


def tile_rows(rows: Int) -> Int:
    """The widest tile that so many rows of weights are made of, or 0 where there is none."""
    for width in [256, 192, 128, 64]:
        if rows % width == 0:
            return width
    return 0


def dense_matmul(
    y: TileTensor[
        mut=True, DType.bfloat16, address_space=AddressSpace.GENERIC, ...
    ],
    x: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    w: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    bias: BF16,
    ctx: DeviceContext,
) raises:
    """Enqueue y [M, N] = x [M, K] times w [N, K] transposed, plus bias [N]; products are accumulated in float32.

    Where N or K is not known when this is compiled, or N no multiple of 64, or K none of 8, all tokens are `dense_few`'s, which
    is slower for many and refuses such a K.

    Raises:
        When a size or a pointer is not as `dense_few` wants it, or the launch fails.
    """
    comptime N = type_of(y).LayoutType.static_shape[1]
    comptime K = type_of(x).LayoutType.static_shape[1]
    var result = y.ptr.as_unsafe_any_origin()
    var tokens = Int(x.dim[0]())
    var features = Int(x.dim[1]())
    var rows = Int(y.dim[1]())
    var x_values = x.ptr.unsafe_mut_cast[True]().as_unsafe_any_origin()
    var w_values = w.ptr.unsafe_mut_cast[True]().as_unsafe_any_origin()
    var done = 0
    comptime if N > 0 and tile_rows(N) > 0 and K > 0 and K % 8 == 0:
        if tokens >= MANY_TOKENS and (Int(result) | Int(x_values)) % 16 == 0:
            done = tokens // TILE_TOKENS * TILE_TOKENS
            dense_tiles[N, K](result, x_values, w_values, bias, done, ctx)
    if done < tokens or tokens == 0:
        dense_few(
            result.unsafe_offset(done * rows),
            x_values.unsafe_offset(done * features),
            w_values,
            bias,
            tokens=tokens - done,
            rows=rows,
            features=features,
            ctx=ctx,
        )


def dense_tiles[
    N: Int, K: Int
](
    y: BF16, x: BF16, w: BF16, bias: BF16, tokens: Int, ctx: DeviceContext
) raises:
    """Enqueue what `dense_matmul` does, for a multiple of `TILE_TOKENS` tokens, with MAX's matmul."""
    comptime WIDTH = tile_rows(N)
    comptime HALF = DType.bfloat16
    comptime config = MatmulConfig[HALF, HALF, HALF, True](
        block_tile_shape=Index(TILE_TOKENS, WIDTH, TILE_STEP),
        mma_shape=Index(64, WIDTH, 16),
        cluster_shape=Index(1, 1, 1),
        num_pipeline_stages=TILE_SLOTS,
        num_consumer=TILE_TOKENS // 64,
        partitioned_multicast=False,
    )

    def add_bias[
        dtype: DType, width: SIMDLength, *, alignment: Int = 1
    ](at: Coord, value: SIMD[dtype, width]) {var bias} -> SIMD[dtype, width]:
        var added = bias.unsafe_offset(Int(at[1])).unsafe_load[
            width=width, alignment=2
        ]()
        return (value.cast[DType.float32]() + added.cast[DType.float32]()).cast[
            dtype
        ]()

    warp_specialize_gemm_with_multicasting[transpose_b=True, config=config](
        TileTensor(y, row_major((tokens, Idx[N]))),
        TileTensor(x, row_major((tokens, Idx[K]))),
        TileTensor(w, row_major((Idx[N], Idx[K]))),
        add_bias,
        ctx,
    )


def dense_logits(
    y: TileTensor[
        mut=True, DType.float32, address_space=AddressSpace.GENERIC, ...
    ],
    x: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    w: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    ctx: DeviceContext,
) raises:
    """Enqueue y [M, N] = x [M, K] times w [N, K] transposed, accumulated and left in float32.

    Tiles of 512, 256 and 128 tokens are MAX's, the rest `dense_head`'s. Where N or K is not known when this is compiled, or N
    no multiple of `HEAD_TILE_ROWS`, all tokens are `dense_head`'s, which is slower for many.

    Raises:
        When a size or a pointer is not as `dense_head` wants it, or the launch fails.
    """
    comptime N = type_of(y).LayoutType.static_shape[1]
    comptime K = type_of(x).LayoutType.static_shape[1]
    var result = y.ptr.as_unsafe_any_origin()
    var tokens = Int(x.dim[0]())
    var features = Int(x.dim[1]())
    var rows = Int(y.dim[1]())
    var x_values = x.ptr.unsafe_mut_cast[True]().as_unsafe_any_origin()
    var w_values = w.ptr.unsafe_mut_cast[True]().as_unsafe_any_origin()
    var done = 0
    comptime if N > 0 and N % HEAD_TILE_ROWS == 0 and K > 0 and K % 8 == 0:
        if (Int(result) | Int(x_values) | Int(w_values)) % 16 == 0:
            comptime for i in range(3):
                comptime AT_ONCE = 512 >> i
                var now = (tokens - done) // AT_ONCE * AT_ONCE
                if now > 0:
                    # Two blocks with the same rows of weights read them once.
                    head_tiles[
                        N, K, TOKENS=min(AT_ONCE, 256), PAIRS=AT_ONCE == 512
                    ](
                        result.unsafe_offset(done * rows),
                        x_values.unsafe_offset(done * features),
                        w_values,
                        now,
                        ctx,
                    )
                    done += now
    if done < tokens or tokens == 0:
        dense_head(
            result.unsafe_offset(done * rows),
            x_values.unsafe_offset(done * features),
            w_values,
            tokens=tokens - done,
            rows=rows,
            features=features,
            ctx=ctx,
        )


def head_tiles[
    N: Int, K: Int, *, TOKENS: Int, PAIRS: Bool
](y: Floats, x: BF16, w: BF16, tokens: Int, ctx: DeviceContext) raises:
    """Enqueue what `dense_logits` does with MAX's matmul.

    Parameters:
        N: Rows of weights, a multiple of `HEAD_TILE_ROWS`.
        K: Features.
        TOKENS: Tokens of a tile, 128 or 256.
        PAIRS: Whether two tiles of tokens share the weights; then `tokens` is a multiple of two tiles.
    """
    comptime HALF = DType.bfloat16
    comptime config = MatmulConfig[HALF, HALF, DType.float32, True](
        block_tile_shape=Index(TOKENS, HEAD_TILE_ROWS, TILE_STEP),
        mma_shape=Index(64, HEAD_TILE_ROWS, 16),
        cluster_shape=Index(1, 2 if PAIRS else 1, 1),
        # As many as fit.
        num_pipeline_stages=4 if TOKENS == 256 else 6,
        num_consumer=2,
        partitioned_multicast=False,
    )
    warp_specialize_gemm_with_multicasting[transpose_b=True, config=config](
        TileTensor(y, row_major((tokens, Idx[N]))),
        TileTensor(x, row_major((tokens, Idx[K]))),
        TileTensor(w, row_major((Idx[N], Idx[K]))),
        ctx,
    )
