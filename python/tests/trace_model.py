"""Builds the model's graph for numbers of Hopper GPUs that are not there.

    trace_model.py CHECKPOINT DEVICES...

Prints a line of JSON for each. Compiles nothing. A program of its own, because
virtual devices are set for a whole process.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter

from max import tree
from max.driver import (
    DeviceSpec,
    set_virtual_device_api,
    set_virtual_device_count,
    set_virtual_device_target_arch,
)
from max.nn.transformer import ReturnLogits
from max.pipelines import PipelineArgs, PipelineConfig

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.model import GptOss
from mxfp4.kernels import guard

HEAD = "language_model.lm_head.weight"


def trace(folder: str, devices: int) -> dict[str, object]:
    """Builds the graph and says what is in it."""
    args = PipelineArgs.from_flat_kwargs(
        model_path=folder,
        device_specs=[DeviceSpec.accelerator(rank) for rank in range(devices)],
        custom_architectures=["mxfp4.gpt_oss"],
        quantization_encoding=GptOssConfig.DEFAULT_ENCODING,
        max_length=4096,
    )
    pipeline = PipelineConfig.from_args(args)
    config = GptOssConfig.initialize(pipeline, max_seq_len=4096)
    config.finalize(
        pipeline.model.huggingface_config, {HEAD: None}, ReturnLogits.LAST_TOKEN
    )
    module = GptOss(config)
    weights = module.raw_state_dict()
    for name, weight in weights.items():
        # Loading would name them.
        weight.name = name
    graph = str(
        module.trace(
            *tree.leaves(module.input_tree()),
            custom_extensions=guard.require_package(),
        )
    )
    return {
        "devices": devices,
        "weights": {
            name: [int(dim) for dim in weight.shape] for name, weight in weights.items()
        },
        "ops": Counter(re.findall(r'"(custom\.[a-z0-9_.]+)"', graph)),
        "routed": re.findall(
            r'"custom\.moe\.route".*?\(!mo\.tensor<\[(.+?), \d', graph
        ),
        "allreduces": graph.count("mo.distributed.allreduce.sum"),
        "broadcasts": graph.count("mo.distributed.broadcast"),
        # Of weights from the host there are some; those are gone before a step.
        "transfers": re.findall(
            r"mo\.transfer\[.*?: !mo\.tensor<\[([^\]]*[a-z][^\]]*)\]", graph
        ),
        "allgathers": graph.count("mo.distributed.allgather"),
        # Of weights; of float32 are the angles of rotations, and gathered logits.
        "concats": len(re.findall(r"mo\.concat\b.*bf16", graph)),
    }


def main() -> None:
    folder, *counts = sys.argv[1:]
    set_virtual_device_api("cuda")
    set_virtual_device_target_arch("sm_90a")
    set_virtual_device_count(max(map(int, counts)))
    for count in counts:
        print(json.dumps(trace(folder, int(count))), flush=True)
    # MAX 26.7 sometimes aborts when an interpreter ends.
    os._exit(0)


if __name__ == "__main__":
    main()
