"""Compiles every variant of the grouped matmul for the target accelerator; it is built, not run.

For any accelerator but Hopper the build must fail and say "needs Hopper (sm_90)".
"""

from max.gpu.host import DeviceContext

from mxfp4.moe.grouped_matmul.config import BIAS, PLAIN, SWIGLU
from mxfp4.moe.grouped_matmul.launch import grouped_matmul


def main() raises:
    var ctx = DeviceContext()
    var memory = ctx.enqueue_create_buffer[DType.uint8](64)
    var bytes = memory.unsafe_ptr().as_unsafe_any_origin()
    var halves = bytes.unsafe_bitcast[BFloat16]()
    var words = bytes.unsafe_bitcast[UInt32]()
    comptime for variant in range(4):
        comptime EPILOGUE = [PLAIN, BIAS, SWIGLU, SWIGLU][variant]
        grouped_matmul[EPILOGUE, GATHER=variant == 3](
            halves,
            halves,
            words,
            bytes,
            halves,
            words,
            bytes.unsafe_bitcast[Int32](),
            m=0,
            n=32,
            k=32,
            groups=1,
            ctx=ctx,
        )
