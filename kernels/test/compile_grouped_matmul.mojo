"""Compiles every variant of the grouped matmul for the target accelerator; it is built, not run.

For any accelerator but Hopper the build must fail and say "needs Hopper (sm_90)".
"""

from max.gpu.host import DeviceContext

from mxfp4.grouped_matmul import BIAS, PLAIN, SWIGLU, grouped_matmul


def main() raises:
    var ctx = DeviceContext()
    var memory = ctx.enqueue_create_buffer[DType.uint8](64)
    var bytes = memory.unsafe_ptr().as_unsafe_any_origin()
    var halves = bytes.unsafe_bitcast[BFloat16]()
    comptime for epilogue in [PLAIN, BIAS, SWIGLU]:
        grouped_matmul[epilogue](
            halves,
            halves,
            bytes,
            halves,
            bytes.unsafe_bitcast[UInt32](),
            bytes.unsafe_bitcast[Int32](),
            m=0,
            n=32,
            k=32,
            groups=1,
            ctx=ctx,
        )
