"""Times OpenAI's triton_kernels on the rows of the kernel benchmark.

    python -m mxfp4.bench_triton [--tokens 1,2,...] [--experts 32] [--routing balanced]

One MoE layer as vLLM runs it on Hopper: `gate_up` with token gather and fused SwiGLU,
`down` with scatter and router weights, `layer` with the router before them. Routing,
shapes, timing and output are those of `kernels/bench/bench_grouped_matmul.mojo`: one
JSON object a line, and a time is that of one replay of a device graph, L2 flushed
before: median, 10th and 90th percentile of 20.

Needs torch and triton_kernels; neither MAX nor this project's SDK.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

HIDDEN = 2880
TOP = 4
SAMPLES = 20
FLUSH_BYTES = 256 << 20


def hash32(seed: int, index: int) -> int:
    """The hash that the Mojo benchmark draws its routing from."""
    mask = 0xFFFFFFFF
    z = (index * 0x9E3779B9 + seed * 0x85EBCA6B + 0x165767B1) & mask
    z = ((z ^ (z >> 16)) * 0x7FEB352D) & mask
    z = ((z ^ (z >> 15)) * 0x846CA68B) & mask
    return z ^ (z >> 16)


def chosen_experts(tokens: int, experts: int, routing: str) -> list[list[int]]:
    """Returns each token's experts, the most wanted first."""
    always = [0, 1] if routing == "skewed" else []
    chosen = []
    for token in range(tokens):
        order = sorted(
            (expert for expert in range(experts) if expert not in always),
            key=lambda expert: hash32(token + 77, expert),
            reverse=True,
        )
        chosen.append((always + order)[:TOP])
    return chosen


def quantiles(call: Callable[[], Any]) -> tuple[float, float, float]:
    """Returns median, 10th and 90th percentile of a call's time in microseconds."""
    import torch

    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")
    stream = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        call()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            call()
    graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(SAMPLES):
        flush.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    times.sort()
    return (
        times[SAMPLES // 2],
        times[SAMPLES // 10],
        times[SAMPLES - 1 - SAMPLES // 10],
    )


def random_weights(experts: int, rows: int) -> tuple[Any, Any]:
    """Returns one projection's weights and precision, as vLLM lays them out."""
    import torch
    from triton_kernels.matmul_ogs import FlexCtx, PrecisionConfig
    from triton_kernels.numerics import InFlexData
    from triton_kernels.tensor import FP4, convert_layout, wrap_torch_tensor
    from triton_kernels.tensor_details import layout

    def random(low: int, high: int, width: int) -> torch.Tensor:
        size = (experts, rows, width)
        # K stands first in triton_kernels, and its stride is one.
        return torch.randint(low, high, size, dtype=torch.uint8, device="cuda").mT

    value_layout, value_options = layout.make_default_matmul_mxfp4_w_layout(mx_axis=1)
    scale_layout, scale_options = layout.make_default_matmul_mxfp4_w_scale_layout(
        mx_axis=1, num_warps=8
    )
    values = wrap_torch_tensor(random(0, 256, HIDDEN // 2), dtype=FP4)
    scales = wrap_torch_tensor(random(119, 122, HIDDEN // 32))
    precision = PrecisionConfig(
        weight_scale=convert_layout(scales, scale_layout, **scale_options),
        flex_ctx=FlexCtx(rhs_data=InFlexData()),
    )
    return convert_layout(values, value_layout, **value_options), precision


def bench(experts: int, tokens: list[int], routings: list[str]) -> None:
    """Prints the rows of one number of experts."""
    import torch
    from triton_kernels.matmul_ogs import FnSpecs, FusedActivation, matmul_ogs
    from triton_kernels.routing import routing as route
    from triton_kernels.swiglu import swiglu_fn

    activation = FusedActivation(
        FnSpecs("swiglu", swiglu_fn, ("alpha", "limit")), (1.702, 7.0), 2
    )
    sizes = {"gate_up": 2 * HIDDEN, "down": HIDDEN}
    weights = {name: random_weights(experts, rows) for name, rows in sizes.items()}
    biases = {
        name: torch.randn(experts, rows, device="cuda") for name, rows in sizes.items()
    }
    router = torch.eye(experts, HIDDEN, device="cuda").bfloat16()
    router_bias = torch.zeros(experts, device="cuda").bfloat16()
    for routing in routings:
        for count in tokens:
            # Whole numbers up to 256 are exact in bfloat16. The router reads a
            # token's wishes from its first features.
            wish = torch.zeros(count, experts)
            for token, chosen in enumerate(chosen_experts(count, experts, routing)):
                wish[token, chosen] = torch.arange(TOP, 0, -1).float()
            hidden = torch.randn(count, HIDDEN)
            hidden[:, :experts] = wish
            hidden = hidden.cuda().bfloat16()
            logits = torch.nn.functional.linear(hidden, router, router_bias)
            data, gather, scatter = route(logits, TOP, sm_first=False)
            active = int((data.expt_hist > 0).sum())

            def gate_up(
                hidden: torch.Tensor = hidden, data: Any = data, gather: Any = gather
            ) -> torch.Tensor:
                values, precision = weights["gate_up"]
                return matmul_ogs(
                    hidden,
                    values,
                    biases["gate_up"],
                    data,
                    gather_indx=gather,
                    precision_config=precision,
                    fused_activation=activation,
                )

            middle = gate_up()

            def down(
                middle: torch.Tensor = middle, data: Any = data, scatter: Any = scatter
            ) -> torch.Tensor:
                values, precision = weights["down"]
                return matmul_ogs(
                    middle,
                    values,
                    biases["down"],
                    data,
                    scatter_indx=scatter,
                    precision_config=precision,
                    gammas=data.gate_scal,
                )

            def layer(hidden: torch.Tensor = hidden) -> torch.Tensor:
                logits = torch.nn.functional.linear(hidden, router, router_bias)
                data, gather, scatter = route(logits, TOP, sm_first=False)
                return down(gate_up(hidden, data, gather), data, scatter)

            parts = {
                "gate_up": (gate_up, sizes["gate_up"]),
                "down": (down, sizes["down"]),
                "layer": (layer, sum(sizes.values())),
            }
            for name, (call, rows) in parts.items():
                median, low, high = quantiles(call)
                packed = rows * (HIDDEN // 2 + HIDDEN // 32)
                row = {
                    "experts": experts,
                    "tokens": count,
                    "routing": routing,
                    "active": active,
                    "projection": name,
                    "median_us": median,
                    "low_us": low,
                    "high_us": high,
                    "bytes": active * packed,
                    "flop": 2 * count * TOP * rows * HIDDEN,
                }
                print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mxfp4.bench_triton")
    parser.add_argument("--tokens", default=",".join(str(1 << i) for i in range(14)))
    parser.add_argument("--experts", default="32")
    parser.add_argument("--routing", default="balanced")
    args = parser.parse_args()

    import torch
    import triton_kernels.matmul_ogs_details.opt_flags as opt_flags

    torch.manual_seed(0)
    # As vLLM sets it on Hopper.
    opt_flags.update_opt_flags_constraints({"split_k": 1})
    tokens = [int(part) for part in args.tokens.split(",")]
    for experts in map(int, args.experts.split(",")):
        bench(experts, tokens, args.routing.split(","))


if __name__ == "__main__":
    main()
