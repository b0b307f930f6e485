"""The mixture of experts, on packed weights."""

from __future__ import annotations

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Graph, TensorValue, Weight, ops
from max.nn.layer import Module

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.dense import Linear
from mxfp4.ops import combine, grouped_mxfp4_matmul, packed_shape, route, sort_rows


class ExpertProjection(Module):
    """One projection of all experts: packed weights, and a bias."""

    def __init__(
        self, experts: int, out_features: int, in_features: int, device: DeviceRef
    ) -> None:
        super().__init__()
        self.out_features = out_features
        shape = packed_shape(experts, out_features, in_features)
        self.weights = Weight("weights", DType.uint8, shape, device)
        self.bias = Weight("bias", DType.bfloat16, (experts, out_features), device)

    def __call__(
        self,
        hidden: TensorValue,
        expert_start_indices: TensorValue,
        expert_ids: TensorValue,
        *,
        swiglu: bool = False,
        sources: TensorValue | None = None,
    ) -> TensorValue:
        # Packing leaves the weights on the device, where a weight's own way into
        # the graph would expect them on the host.
        weights = Graph.current.add_weight(
            self.weights, force_initial_weight_on_host=False
        )
        return grouped_mxfp4_matmul(
            hidden,
            weights,
            expert_start_indices,
            expert_ids,
            out_features=self.out_features,
            bias=self.bias,
            swiglu=swiglu,
            sources=sources,
        )


class Router(Module):
    """Chooses each token's experts."""

    def __init__(self, config: GptOssConfig, device: DeviceRef) -> None:
        super().__init__()
        self.top = config.num_experts_per_tok
        self.gate_score = Linear(config.hidden_size, config.num_local_experts, device)

    def __call__(self, hidden: TensorValue) -> tuple[TensorValue, TensorValue]:
        return route(hidden, self.gate_score.weight, self.gate_score.bias, self.top)


class GptOssMoE(Module):
    """Router, both expert projections, and the weighted sum."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        (device,) = config.devices
        self.experts = config.num_local_experts
        self.gate = Router(config, device)
        hidden, inter = config.hidden_size, config.intermediate_size
        self.gate_up = ExpertProjection(self.experts, 2 * inter, hidden, device)
        self.down = ExpertProjection(self.experts, hidden, inter, device)

    def __call__(self, x: TensorValue) -> TensorValue:
        chosen, shares = self.gate(x)
        starts, sources, places = sort_rows(chosen, self.experts)
        ids = ops.constant(
            np.arange(self.experts, dtype=np.int32), DType.int32, device=x.device
        )
        rows = self.gate_up(x, starts, ids, swiglu=True, sources=sources)
        rows = self.down(rows, starts, ids)
        return combine(rows, places, shares)
