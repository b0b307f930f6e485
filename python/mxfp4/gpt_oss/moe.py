"""The mixture of experts, on packed weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from max.dtype import DType
from max.graph import (
    BufferValue,
    DeviceRef,
    Graph,
    ShardingStrategy,
    TensorValue,
    Weight,
    ops,
)
from max.nn.layer import Module

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.dense import Linear
from mxfp4.gpt_oss.shares import first_alone, shares, slices, spread, to_all
from mxfp4.kernels.ops import (
    combine,
    grouped_mxfp4_matmul,
    packed_shape,
    route,
    sort_rows,
)


class ExpertProjection(Module):
    """One projection of all experts: each device's packed weights, and a bias.

    Args:
        experts: How many there are.
        shapes: Each device's output and input features.
        devices: The devices.
        out_features: Those of the checkpoint's bias.
        bias: How the bias is divided.
    """

    def __init__(
        self,
        experts: int,
        shapes: Sequence[tuple[int, int]],
        devices: Sequence[DeviceRef],
        out_features: int,
        bias: ShardingStrategy,
    ) -> None:
        super().__init__()
        self.shapes = shapes
        self.packed = []
        for rank, (shape, device) in enumerate(zip(shapes, devices, strict=True)):
            packed = packed_shape(experts, *shape)
            weights = Weight(f"weights.{rank}", DType.uint8, packed, device)
            setattr(self, f"weights_{rank}", weights)
            self.packed.append(weights)
        self.bias = Weight("bias", DType.bfloat16, (experts, out_features), devices[0])
        self.biases = spread(self.bias, bias, devices)

    def __call__(
        self,
        rank: int,
        hidden: TensorValue,
        expert_start_indices: TensorValue,
        expert_ids: TensorValue,
        counters: TensorValue,
        *,
        swiglu: bool = False,
        sources: TensorValue | None = None,
        after_product: bool = False,
    ) -> TensorValue:
        # Packing leaves the weights on the device, where a weight's own way into
        # the graph would expect them on the host.
        weights = Graph.current.add_weight(
            self.packed[rank], force_initial_weight_on_host=False
        )
        return grouped_mxfp4_matmul(
            hidden,
            weights,
            expert_start_indices,
            expert_ids,
            out_features=self.shapes[rank][0],
            bias=self.biases[rank],
            counters=counters,
            swiglu=swiglu,
            sources=sources,
            after_product=after_product,
        )


class Router(Module):
    """Chooses each token's experts, the same on each device."""

    SAME_SUMS = 2
    """So many devices have the same tokens, bit by bit. MAX's all-reduce adds up in
    another order on each, which of two numbers makes no difference."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        self.top = config.num_experts_per_tok
        devices = config.devices
        self.gate_score = Linear.sized(
            config.hidden_size, config.num_local_experts, devices[0]
        )
        if len(devices) > self.SAME_SUMS:
            devices = devices[:1]
        self.gate_score.sharding_strategy = ShardingStrategy.replicate(len(devices))
        self.shards = self.gate_score.shard(devices)

    def __call__(
        self, xs: Sequence[TensorValue], signal_buffers: Sequence[BufferValue]
    ) -> list[tuple[TensorValue, TensorValue]]:
        found = [
            route(x, shard.weight, shard.bias, self.top)
            for x, shard in zip(xs, self.shards, strict=False)
        ]
        if len(found) == len(xs):
            return found
        # Where a router all but ties, devices that chose for themselves could choose
        # differently, and their summands would not belong together.
        [(chosen, weighting)] = found
        return list(
            zip(
                to_all(chosen, signal_buffers),
                to_all(weighting, signal_buffers),
                strict=True,
            )
        )


class GptOssMoE(Module):
    """Router, both expert projections, and the weighted sum.

    Each device has a share of every expert's intermediate features, and makes a
    summand of the result.
    """

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        devices = config.devices
        self.experts = config.num_local_experts
        self.gate = Router(config)
        hidden = config.hidden_size
        parts = shares(config.intermediate_size, len(devices))
        # A feature's gate and up rows stand side by side.
        pairs = [range(2 * part.start, 2 * part.stop) for part in parts]
        self.gate_up = ExpertProjection(
            self.experts,
            [(len(pair), hidden) for pair in pairs],
            devices,
            2 * config.intermediate_size,
            slices(1, pairs),
        )
        self.down = ExpertProjection(
            self.experts,
            [(hidden, len(part)) for part in parts],
            devices,
            hidden,
            first_alone(len(devices)),
        )

    def __call__(
        self, xs: Sequence[TensorValue], signal_buffers: Sequence[BufferValue]
    ) -> list[TensorValue]:
        chosen = self.gate(xs, signal_buffers)
        return [
            self._summand(rank, x, *mine)
            for rank, (x, mine) in enumerate(zip(xs, chosen, strict=True))
        ]

    def _summand(
        self, rank: int, x: TensorValue, chosen: TensorValue, weighting: TensorValue
    ) -> TensorValue:
        starts, counters, sources, places = sort_rows(chosen, self.experts)
        ids = ops.constant(
            np.arange(self.experts, dtype=np.int32), DType.int32, device=x.device
        )
        groups = starts, ids, counters
        rows = self.gate_up(rank, x, *groups, swiglu=True, sources=sources)
        rows = self.down(rank, rows, *groups, after_product=True)
        return combine(rows, places, weighting)
