"""The kernel: it sets a block up, and gives its warps their roles."""

from std.math import ceildiv
from std.sys.info import _is_sm_9x
from std.utils.static_tuple import StaticTuple

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, barrier, thread_idx
from max.gpu.intrinsics import warpgroup_reg_alloc, warpgroup_reg_dealloc
from max.gpu.memory import AddressSpace, external_memory

from ...layout import TILE
from ...pointers import BF16, Bytes, ExpertIds, GroupStarts, RowIndices
from ...ptx import grid_release, grid_wait
from ..schedule import Groups, Units, count_units
from .config import Config
from .consumer import consume
from .operands import Operands
from .producer import (
    LOADS_BOTH,
    LOADS_TOKENS,
    LOADS_WEIGHTS,
    TokenLoader,
    WeightLoader,
    produce,
)
from .shared_memory import SharedMemory


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](
        Int32(Config[TOKENS, ROW_TILES].THREADS)
    )
)
def grouped_matmul_kernel[
    TOKENS: Int,
    ROW_TILES: Int,
    EPILOGUE: Int,
    GATHER: Bool,
    AFTER_PRODUCT: Bool = False,
](
    y: BF16,
    x: BF16,
    sources: RowIndices,
    weights: Bytes,
    bias: BF16,
    starts: GroupStarts,
    ids: ExpertIds,
    counter: UInt64,
    n: UInt32,
    k: UInt32,
    groups: UInt32,
):
    """The kernel; see `grouped_matmul` for the arguments. Launch with the `THREADS` of its
    `Config` and the `BYTES` of its `SharedMemory`.

    Parameters:
        TOKENS: Most tokens in a tile.
        ROW_TILES: Tiles of 64 weight rows in a unit of work.
        EPILOGUE: `PLAIN`, `BIAS` or `SWIGLU`.
        GATHER: Whether row i of the tokens is row `sources[i]` of `x`, not row i.
        AFTER_PRODUCT: Whether the kernel before is this one too, with the same groups.
    """
    comptime assert _is_sm_9x(), "mxfp4 grouped matmul needs Hopper (sm_90)"
    comptime Shape = Config[TOKENS, ROW_TILES]
    comptime Memory = SharedMemory[TOKENS, ROW_TILES]
    Shape.check()
    Memory.check()

    var memory = Memory(
        external_memory[
            UInt8, address_space=AddressSpace.SHARED, alignment=1024
        ]()
    )
    var operands = Operands(y, x, sources, weights, bias, n, k)
    var of_groups = Groups(memory.words[Memory.ENDS](), starts, ids, groups)
    var thread = Int(thread_idx.x)
    var warp_index = thread // 32
    var steps = ceildiv(k, UInt32(TILE))
    var slots = ceildiv(steps, UInt32(Shape.STEPS))
    var row_tiles = ceildiv(n, UInt32(TILE))

    # A product lets the kernel after it begin when it has itself waited for whoever made the groups. So they are complete here
    # if this one comes after a product of the same groups, and only its result has to be waited for.
    if warp_index == 0:
        comptime if not AFTER_PRODUCT:
            grid_wait()
        count_units[TOKENS](
            of_groups, Int(ceildiv(row_tiles, UInt32(ROW_TILES)))
        )
    elif thread == 32:
        memory.init_barriers()
    barrier()
    comptime if not AFTER_PRODUCT:
        grid_wait()
    grid_release()
    var count = of_groups.ends[unsafe_offset=Int(groups) - 1]

    if warp_index < 4:
        comptime if Shape.MOVES_REGISTERS:
            warpgroup_reg_dealloc[88]()
        var weights_of = WeightLoader[TOKENS, ROW_TILES](memory, thread // 32)
        var tokens_of = TokenLoader[TOKENS, ROW_TILES, GATHER](
            memory, thread - (128 - Shape.TOKEN_THREADS)
        )
        # One thread for each tile of rows streams its weights.
        var has_weights = thread % 32 == 0 and thread // 32 < ROW_TILES
        var units = Units[TOKENS, DYNAMIC=Shape.DYNAMIC, HALVES=Shape.HALVES](
            of_groups,
            count,
            counter,
            memory.words[Memory.NEXT](),
            memory.announced(),
        )
        comptime produce_as[role: Int] = produce[
            TOKENS, ROW_TILES, EPILOGUE, GATHER, AFTER_PRODUCT, ROLE=role
        ]
        comptime if Shape.TOKEN_THREADS == 128:
            # All four warps copy tokens; some of their threads stream weights beside it.
            produce_as[LOADS_BOTH](
                memory,
                operands,
                units,
                weights_of,
                tokens_of,
                has_weights,
                steps,
                slots,
            )
        else:
            if has_weights:
                produce_as[LOADS_WEIGHTS](
                    memory,
                    operands,
                    units,
                    weights_of,
                    tokens_of,
                    True,
                    steps,
                    slots,
                )
            elif thread >= 128 - Shape.TOKEN_THREADS:
                produce_as[LOADS_TOKENS](
                    memory,
                    operands,
                    units,
                    weights_of,
                    tokens_of,
                    False,
                    steps,
                    slots,
                )
    else:
        comptime if Shape.MOVES_REGISTERS:
            warpgroup_reg_alloc[208]()
        consume[EPILOGUE=EPILOGUE](
            memory, operands, warp_index // 4 - 1, count, steps, slots
        )
