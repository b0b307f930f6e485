"""The mixture of experts, on packed weights."""

from __future__ import annotations

from max.dtype import DType
from max.graph import DeviceRef, Graph, TensorValue, Weight, ops
from max.nn.kernels import moe_create_indices, moe_finalize
from max.nn.layer import Module
from max.pipelines.architectures.gpt_oss.layers.moe import GptOssMoEGate

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.ops import grouped_mxfp4_matmul, packed_shape


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
        swiglu: bool,
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
        )


class GptOssMoE(Module):
    """Router, gather, both expert projections, and the weighted sum.

    Takes the place of the built-in layer, whose router it keeps.
    """

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        (device,) = config.devices
        self.num_experts = config.num_local_experts
        self.experts_per_token = config.num_experts_per_tok
        self.gate = GptOssMoEGate(
            devices=[device],
            hidden_dim=config.hidden_size,
            num_experts=self.num_experts,
            num_experts_per_token=self.experts_per_token,
            dtype=DType.bfloat16,
        )
        hidden, inter = config.hidden_size, config.intermediate_size
        self.gate_up = ExpertProjection(self.num_experts, 2 * inter, hidden, device)
        self.down = ExpertProjection(self.num_experts, hidden, inter, device)

    def __call__(self, x: TensorValue) -> TensorValue:
        router_idx, router_weight = self.gate(x)
        order, starts, restore_order, expert_ids, _usage = moe_create_indices(
            ops.cast(ops.reshape(router_idx, [-1]), DType.int32), self.num_experts
        )
        rows = ops.gather(
            x, ops.cast(order // self.experts_per_token, DType.int32), axis=0
        )
        rows = self.gate_up(rows, starts, expert_ids, swiglu=True)
        rows = self.down(rows, starts, expert_ids, swiglu=False)
        return moe_finalize(rows, restore_order, router_weight, x.dtype)
