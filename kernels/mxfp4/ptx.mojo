"""The PTX that the kernels need and that has no stable name in the library: barriers, bulk copies, fences.

What the library has is used where the machine code comes out the same. Where it does not:

- Its functions for `mbarrier` and bulk copies take pointers. Addresses in shared memory are 32-bit here (`.shared` window).
- Its named barriers and those of a cluster are `.aligned`, which all threads of a warp must reach together; these are not.
- Its waits for other grids compile to nothing where the program's target accelerator is not Hopper, whatever the kernel's
  target is.
- `warp.max` and `warp.min` are ten instructions, `recip` flushes subnormals, `sleep` reads a clock in a loop.
- `mma` and `byte_permute` are the same instructions, but the compiler moves them: the router for few tokens and tiles of 64
  tokens come out otherwise.

Each function names its section of the PTX ISA.
"""

from std.memory import Pointer
from std.sys import _RegisterPackType, inlined_assembly, is_gpu


@always_inline
def barrier_init(address: UInt32, arrivals: UInt32):
    """`mbarrier.init`: `arrivals` arrivals complete one phase."""
    inlined_assembly[
        "mbarrier.init.shared.b64 [$0], $1;", NoneType, constraints="r,r"
    ](address, arrivals)


@always_inline
def barrier_arrive(address: UInt32):
    """`mbarrier.arrive`: one arrival, with release semantics."""
    inlined_assembly[
        "mbarrier.arrive.shared.b64 _, [$0];",
        NoneType,
        constraints="r,~{memory}",
    ](address)


@always_inline
def barrier_arrive_expect(address: UInt32, bytes: UInt32):
    """`mbarrier.arrive.expect_tx`: one arrival; the phase also waits for `bytes` of bulk copies."""
    inlined_assembly[
        "mbarrier.arrive.expect_tx.shared.b64 _, [$0], $1;",
        NoneType,
        constraints="r,r,~{memory}",
    ](address, bytes)


@always_inline
def barrier_wait(address: UInt32, parity: UInt32):
    """Wait until the phase with this parity is complete (`mbarrier.try_wait.parity`, which suspends the thread)."""
    inlined_assembly[
        """{
            .reg .pred done;
            WAIT:
            mbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;
            @!done bra WAIT;
        }""",
        NoneType,
        constraints="r,r,~{memory}",
    ](address, parity)


@always_inline
def barrier_wait_cluster(address: UInt32, parity: UInt32):
    """`barrier_wait` for what other blocks of the cluster reported; what they sent is seen then."""
    inlined_assembly[
        """{
            .reg .pred done;
            WAIT:
            mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [$0], $1;
            @!done bra WAIT;
        }""",
        NoneType,
        constraints="r,r,~{memory}",
    ](address, parity)


@always_inline
def bulk_copy(
    target: UInt32,
    source: UInt64,
    bytes: UInt32,
    barrier: UInt32,
    policy: UInt64,
):
    """`cp.async.bulk`: copy `bytes` (a multiple of 16) from global to shared memory and report them to `barrier`; `policy` is
    what the L2 cache makes of them.
    """
    inlined_assembly[
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [$0], [$1], $2, [$3], $4;",
        NoneType,
        constraints="r,l,r,r,l,~{memory}",
    ](target, source, bytes, barrier, policy)


@always_inline
def evict_first() -> UInt64:
    """`createpolicy`: what is read with it leaves the L2 cache before anything else does."""
    return inlined_assembly[
        "createpolicy.fractional.L2::evict_first.b64 $0, 1.0;",
        UInt64,
        constraints="=l",
    ]()


@always_inline
def prefetch(source: UInt64):
    """`prefetch.global.L2`: have the line of 128 bytes that holds `source` come to the L2 cache."""
    inlined_assembly[
        "prefetch.global.L2 [$0];", NoneType, constraints="l,~{memory}"
    ](source)


@always_inline
def copy16(
    target: UInt32, source: Pointer[BFloat16, MutAnyOrigin], valid: UInt32
):
    """`cp.async.cg`: copy 16 bytes to shared memory; bytes from `valid` on are zero, and 0 reads nothing at all."""
    inlined_assembly[
        "cp.async.cg.shared.global [$0], [$1], 16, $2;",
        NoneType,
        constraints="r,l,r,~{memory}",
    ](target, UInt64(Int(source)), valid)


@always_inline
def copy16_with(
    target: UInt32,
    source: Pointer[BFloat16, MutAnyOrigin],
    valid: UInt32,
    policy: UInt64,
):
    """`copy16`, and `policy` is what the L2 cache makes of what was read."""
    inlined_assembly[
        "cp.async.cg.shared.global.L2::cache_hint [$0], [$1], 16, $2, $3;",
        NoneType,
        constraints="r,l,r,l,~{memory}",
    ](target, UInt64(Int(source)), valid, policy)


@always_inline
def pin(value: UInt32) -> UInt32:
    """Keep the computation of `value` before the asynchronous instructions that follow in program order."""
    return inlined_assembly[
        "", UInt32, constraints="=r,0", has_side_effect=True
    ](value)


@always_inline
def pin(value: Float32) -> Float32:
    """Keep uses of an accumulator behind the wait that precedes this call in program order."""
    return inlined_assembly[
        "", Float32, constraints="=f,0", has_side_effect=True
    ](value)


@always_inline
def hold(values: SIMD[DType.uint32, 16]):
    """Keep 16 values in their registers up to this point: an asynchronous instruction is still reading them."""
    inlined_assembly[
        "",
        NoneType,
        constraints="r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
        has_side_effect=True,
    ](
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
        values[7],
        values[8],
        values[9],
        values[10],
        values[11],
        values[12],
        values[13],
        values[14],
        values[15],
    )


@always_inline
def any_lane(condition: Bool) -> Bool:
    """`vote.sync.any` over the full warp."""
    return (
        inlined_assembly[
            """{
            .reg .pred p;
            setp.ne.u32 p, $1, 0;
            vote.sync.any.pred p, p, 0xffffffff;
            selp.u32 $0, 1, 0, p;
        }""",
            UInt32,
            constraints="=r,r",
            has_side_effect=True,
        ](UInt32(condition))
        != 0
    )


@always_inline
def group_barrier(id: UInt32, threads: UInt32):
    """`barrier.sync`: wait for `threads` threads at named barrier `id` (1 to 15)."""
    inlined_assembly[
        "barrier.sync $0, $1;", NoneType, constraints="r,r,~{memory}"
    ](id, threads)


@always_inline
def group_barrier_arrive(id: UInt32, threads: UInt32):
    """`barrier.arrive`: count at named barrier `id` and go on."""
    inlined_assembly[
        "barrier.arrive $0, $1;", NoneType, constraints="r,r,~{memory}"
    ](id, threads)


@always_inline
def transpose8(pair: UInt32) -> UInt32:
    """`movmatrix.trans`: transpose an 8 by 8 matrix of 16-bit values; lane l holds row l / 4, columns 2 (l % 4) and the
    next.
    """
    return inlined_assembly[
        "movmatrix.sync.aligned.m8n8.trans.b16 $0, $1;",
        UInt32,
        constraints="=r,r",
        has_side_effect=True,
    ](pair)


@always_inline
def reciprocal(value: Float32) -> Float32:
    """`rcp.approx.f32`: 1 / value within one unit in the last place."""
    return inlined_assembly[
        "rcp.approx.f32 $0, $1;", Float32, constraints="=f,f"
    ](value)


@always_inline
def sleep(nanoseconds: UInt32):
    """`nanosleep.u32`: let this thread pause for about that long, at most twice."""
    inlined_assembly["nanosleep.u32 $0;", NoneType, constraints="r,~{memory}"](
        nanoseconds
    )


@always_inline
def byte[index: Int](word: UInt32) -> UInt32:
    """`prmt.b32`: one byte of a word, in one instruction where a shift and a mask are two."""
    return inlined_assembly[
        "prmt.b32 $0, $1, 0, $2;", UInt32, constraints="=r,r,n"
    ](word, Int32(0x4440 + index))


@always_inline
def multiply_add(a: UInt32, b: UInt32, c: UInt32) -> UInt32:
    """`mad.lo.u32`: a b + c in one instruction, where the compiler would make a shift and an addition of it."""
    comptime if is_gpu():
        return inlined_assembly[
            "mad.lo.u32 $0, $1, $2, $3;", UInt32, constraints="=r,r,r,r"
        ](a, b, c)
    return a * b + c


@always_inline
def every_other_byte[first: Int](word: UInt32) -> UInt32:
    """`prmt.b32`: bytes `first` (0 or 1) and `first` + 2 of a word, each in a half word of its own."""
    comptime if is_gpu():
        return inlined_assembly[
            "prmt.b32 $0, $1, 0, $2;", UInt32, constraints="=r,r,n"
        ](word, Int32(0x4240 + 0x101 * first))
    return (word >> UInt32(8 * first)) & 0x00FF_00FF


@always_inline
def match_any(value: UInt32) -> UInt32:
    """`match.any.sync`: which lanes of the warp hold the same value."""
    return inlined_assembly[
        "match.any.sync.b32 $0, $1, 0xffffffff;",
        UInt32,
        constraints="=r,r",
        has_side_effect=True,
    ](value)


@always_inline
def warp_max(value: UInt32) -> UInt32:
    """`redux.sync.max`: the greatest value in the warp."""
    return inlined_assembly[
        "redux.sync.max.u32 $0, $1, 0xffffffff;",
        UInt32,
        constraints="=r,r",
        has_side_effect=True,
    ](value)


@always_inline
def count_up(counter: UInt64, last: UInt32) -> UInt32:
    """`atom.inc`: the value at this address in global memory; it is one more then, or 0 where it was `last`."""
    return inlined_assembly[
        "atom.global.inc.u32 $0, [$1], $2;",
        UInt32,
        constraints="=r,l,r,~{memory}",
    ](counter, last)


@always_inline
def warp_min(value: UInt32) -> UInt32:
    """`redux.sync.min`: the least value in the warp."""
    return inlined_assembly[
        "redux.sync.min.u32 $0, $1, 0xffffffff;",
        UInt32,
        constraints="=r,r",
        has_side_effect=True,
    ](value)


@always_inline
def multiply16(
    a0: UInt32,
    a1: UInt32,
    a2: UInt32,
    a3: UInt32,
    b0: UInt32,
    b1: UInt32,
    sums: SIMD[DType.float32, 4],
) -> SIMD[DType.float32, 4]:
    """`mma.m16n8k16`: add the product of 16 by 16 and 16 by 8 bf16 values to 16 by 8 sums in float32.

    With g = lane / 4 and q = 2 (lane % 4), a lane holds of A (row, k) pairs: (g, q), (g + 8, q), (g, q + 8), (g + 8, q + 8),
    each with the next k; of B (k, column): (q, g), (q + 8, g), likewise; of the sums (row, column): (g, q), (g, q + 1),
    (g + 8, q), (g + 8, q + 1).
    """
    var result = inlined_assembly[
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};",
        _RegisterPackType[Float32, Float32, Float32, Float32],
        constraints="=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f",
        has_side_effect=True,
    ](a0, a1, a2, a3, b0, b1, sums[0], sums[1], sums[2], sums[3])
    return SIMD[DType.float32, 4](result[0], result[1], result[2], result[3])


@always_inline
def shared_add(address: UInt32, value: UInt32):
    """`red.shared.add`: add to a word in shared memory, whoever else does."""
    inlined_assembly[
        "red.shared.add.u32 [$0], $1;", NoneType, constraints="r,r,~{memory}"
    ](address, value)


@always_inline
def cluster_arrive():
    """`barrier.cluster.arrive`: what this thread wrote before is for all blocks of the cluster once they waited.

    A launch without clusters makes each block one of its own.
    """
    inlined_assembly[
        "barrier.cluster.arrive.release;", NoneType, constraints="~{memory}"
    ]()


@always_inline
def cluster_arrive_relaxed():
    """The same, but nothing that this thread wrote need be seen by the others."""
    inlined_assembly[
        "barrier.cluster.arrive.relaxed;", NoneType, constraints="~{memory}"
    ]()


@always_inline
def cluster_wait():
    """`barrier.cluster.wait`: wait until all threads of the cluster have arrived."""
    inlined_assembly[
        "barrier.cluster.wait.acquire;", NoneType, constraints="~{memory}"
    ]()


@always_inline
def cluster_load(address: UInt32, block: UInt32) -> SIMD[DType.float32, 4]:
    """`mapa` and `ld.shared::cluster`: read four values that stand at `address`, a multiple of 16, in the shared memory of
    this block of the cluster.
    """
    var result = inlined_assembly[
        """{
            .reg .b32 there;
            mapa.shared::cluster.u32 there, $4, $5;
            ld.shared::cluster.v4.f32 {$0, $1, $2, $3}, [there];
        }""",
        _RegisterPackType[Float32, Float32, Float32, Float32],
        constraints="=f,=f,=f,=f,r,r,~{memory}",
        has_side_effect=True,
    ](address, block)
    return SIMD[DType.float32, 4](result[0], result[1], result[2], result[3])


@always_inline
def cluster_send(
    address: UInt32,
    barrier: UInt32,
    block: UInt32,
    values: SIMD[DType.float32, 4],
):
    """`mapa` and `st.async`: write four values that are to stand at `address`, a multiple of 16, in the shared memory of this
    block of the cluster, and report their 16 bytes to the `barrier` there. The block must have begun.
    """
    inlined_assembly[
        """{
            .reg .b32 there;
            .reg .b32 report;
            mapa.shared::cluster.u32 there, $0, $2;
            mapa.shared::cluster.u32 report, $1, $2;
            st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [there], {$3, $4, $5, $6}, [report];
        }""",
        NoneType,
        constraints="r,r,r,f,f,f,f,~{memory}",
    ](address, barrier, block, values[0], values[1], values[2], values[3])


@always_inline
def grid_wait():
    """`griddepcontrol.wait`: wait until the kernels before have ended and what they wrote is seen.

    It waits for nothing in a launch that did not ask to overlap them.
    """
    inlined_assembly[
        "griddepcontrol.wait;", NoneType, constraints="~{memory}"
    ]()


@always_inline
def grid_release():
    """`griddepcontrol.launch_dependents`: let the kernel behind this one begin, if it asked to overlap, once all blocks say so
    or have ended. Its `grid_wait` waits for all of this one nevertheless.
    """
    inlined_assembly[
        "griddepcontrol.launch_dependents;",
        NoneType,
        constraints="~{memory}",
    ]()
