"""Write the machine code of every kernel, as the compiler makes it for a Hopper GPU: one file of PTX each.

    machine_code FOLDER

Needs no GPU. In a file the kernel is named `kernel`, so that files from before and after a change compare. `-D kernels=dense`
keeps the build to one part: `grouped_matmul`, `router`, `dense` or `small`. scripts/machine_code does all of it.
"""

from std.compile import compile_info
from std.os import makedirs
from std.pathlib import Path
from std.sys import argv
from std.sys.defines import get_defined_string

from max.gpu.host import get_gpu_target

from mxfp4.dense.few import dense_few_kernel
from mxfp4.dense.head import dense_head_kernel
from mxfp4.logits.health import health_kernel
from mxfp4.logits.padding import padding_kernel
from mxfp4.logits.token_mask import token_mask_kernel
from mxfp4.moe.combine import combine_kernel
from mxfp4.moe.grouped_matmul.config import (
    BIAS,
    PLAIN,
    SWIGLU,
    WIDTHS,
    least_row_tiles,
)
from mxfp4.moe.grouped_matmul.kernel import grouped_matmul_kernel
from mxfp4.moe.router_few import route_few_kernel
from mxfp4.moe.router_many import route_many_kernel
from mxfp4.moe.sort import sort_kernel
from mxfp4.moe.top_experts import MAX_EXPERTS, MAX_TOP
from mxfp4.pack import pack_kernel

comptime PART = get_defined_string["kernels", "all"]()


def wanted(part: StaticString) -> Bool:
    """Whether this part is built."""
    return PART == "all" or PART == part


def save[T: TrivialRegisterPassable, //, kernel: T](name: String) raises:
    """Write one kernel's code."""
    var info = compile_info[
        kernel, emission_kind="asm", target=get_gpu_target["sm_90a"]()
    ]()
    var text = String(info.asm).replace(String(info.function_name), "kernel")
    Path(String(argv()[1]) + "/" + name + ".ptx").write_text(text)


def save_grouped_matmul[TOKENS: Int, ROW_TILES: Int]() raises:
    """Write what is compiled of one shape."""
    comptime for variant in range(5):
        comptime EPILOGUE = [PLAIN, BIAS, SWIGLU, SWIGLU, BIAS][variant]
        comptime NAME = [
            "plain",
            "bias",
            "swiglu",
            "swiglu_gather",
            "bias_after_product",
        ][variant]
        save[
            grouped_matmul_kernel[
                TOKENS,
                ROW_TILES,
                EPILOGUE,
                GATHER=variant == 3,
                AFTER_PRODUCT=variant == 4,
            ]
        ](String("grouped_matmul_", NAME, "_", TOKENS, "_", ROW_TILES))


def main() raises:
    if len(argv()) != 2:
        raise Error("usage: machine_code FOLDER")
    makedirs(String(argv()[1]), exist_ok=True)
    comptime if wanted("grouped_matmul"):
        comptime for i in range(len(WIDTHS)):
            comptime TOKENS = WIDTHS[i]
            comptime for row_tiles in range(least_row_tiles(TOKENS), 3):
                save_grouped_matmul[TOKENS, row_tiles]()
    comptime if wanted("router"):
        comptime for i in range(3):
            comptime COLUMNS = [32, 128, MAX_EXPERTS][i]
            comptime for tokens in range(8, 17, 8):
                save[route_few_kernel[COLUMNS, tokens]](
                    String("router_few_", COLUMNS, "_", tokens)
                )
            save[route_many_kernel[COLUMNS]](String("router_many_", COLUMNS))
    comptime if wanted("dense"):
        comptime for i in range(4):
            comptime TOKENS = 16 << i
            save[dense_few_kernel[TOKENS]](String("dense_few_", TOKENS))
            save[dense_head_kernel[TOKENS]](String("dense_head_", TOKENS))
    comptime if wanted("small"):
        save[sort_kernel]("sort")
        comptime for top in range(1, MAX_TOP + 1):
            save[combine_kernel[top]](String("combine_", top))
        save[pack_kernel]("pack")
        save[health_kernel]("health")
        save[padding_kernel]("padding")
        save[token_mask_kernel]("token_mask")
