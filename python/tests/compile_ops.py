"""Compiles all ops at GPT-OSS's shapes for sm_90a. Needs no GPU.

A program of its own, because virtual devices are set for a whole process.
"""

from __future__ import annotations

import os

from max.driver import (
    Accelerator,
    set_virtual_device_api,
    set_virtual_device_count,
    set_virtual_device_target_arch,
)
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType

from mxfp4.kernels import guard, ops

EXPERTS = 32
# gate_up and down, with what is fused into each.
PROJECTIONS = ((5760, 2880, ("", "swiglu")), (2880, 2880, ("bias",)))


def main() -> None:
    set_virtual_device_api("cuda")
    set_virtual_device_target_arch("sm_90a")
    set_virtual_device_count(1)
    gpu = DeviceRef.GPU()
    types = [
        TensorType(DType.bfloat16, ("rows", 2880), gpu),
        TensorType(DType.uint32, (EXPERTS + 1,), gpu),
        TensorType(DType.int32, (EXPERTS,), gpu),
        TensorType(DType.uint32, (ops.COUNTERS,), gpu),
    ]
    for rows, cols, _ in PROJECTIONS:
        types += [
            TensorType(DType.uint8, (EXPERTS, rows, cols // 2), gpu),
            TensorType(DType.uint8, (EXPERTS, rows, cols // 32), gpu),
            TensorType(DType.bfloat16, (EXPERTS, rows), gpu),
        ]
    with Graph(
        "every_op", input_types=types, custom_extensions=guard.require_package()
    ) as graph:
        hidden, starts, ids, counters, *weights = (
            value.tensor for value in graph.inputs
        )
        outputs = []
        for number, (rows, _, variants) in enumerate(PROJECTIONS):
            blocks, scales, bias = weights[3 * number : 3 * number + 3]
            packed = ops.pack(blocks, scales)
            for variant in variants:
                outputs.append(
                    ops.grouped_mxfp4_matmul(
                        hidden,
                        packed,
                        starts,
                        ids,
                        out_features=rows,
                        bias=bias if variant else None,
                        counters=counters if variant else None,
                        swiglu=variant == "swiglu",
                    )
                )
        graph.output(*outputs)
    InferenceSession(devices=[Accelerator()]).compile(graph)
    print(f"compiled {len(outputs)} matmuls for sm_90a", flush=True)
    # MAX 26.7 sometimes aborts when an interpreter ends that compiled from the cache.
    os._exit(0)


if __name__ == "__main__":
    main()
