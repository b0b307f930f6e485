"""Dense layers on a matmul that stays within its output and may leave float32."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from max.dtype import DType
from max.graph import (
    BufferValue,
    DeviceRef,
    ShardingStrategy,
    TensorValue,
    Weight,
    ops,
)
from max.nn.layer import Module
from typing_extensions import Self

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.shares import first_alone, spread
from mxfp4.kernels.ops import count_broken, dense, dense_float32


class Linear(Module):
    """A linear layer with a bias.

    Takes the place of the built-in one, whose matmul writes beyond its output, and
    is divided among devices as that one is: set `sharding_strategy`, then `shard`.
    """

    sharding_strategy: ShardingStrategy | None = None

    def __init__(self, weight: Weight, bias: Weight) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias

    @classmethod
    def sized(cls, in_features: int, out_features: int, device: DeviceRef) -> Self:
        """Makes a layer whose weights are yet to be loaded."""
        shape = (out_features, in_features)
        return cls(
            Weight("weight", DType.bfloat16, shape, device),
            Weight("bias", DType.bfloat16, (out_features,), device),
        )

    def shard(self, devices: Iterable[DeviceRef]) -> list[Linear]:
        """Returns each device's share of the layer."""
        devices, strategy = list(devices), self.sharding_strategy
        assert strategy is not None
        # Divided by input features, the outputs are summands of one sum.
        partial = strategy.sharded_axis == 1
        for_bias = first_alone(len(devices)) if partial else strategy
        weights = spread(self.weight, strategy, devices)
        biases = spread(self.bias, for_bias, devices)
        return [Linear(*pair) for pair in zip(weights, biases, strict=True)]

    def __call__(self, x: TensorValue) -> TensorValue:
        return dense(x, self.weight, self.bias)


class LogitsHead(Module):
    """One matmul over the vocabulary whose result is never rounded to bfloat16.

    Takes the place of the built-in layer, whose calling convention it keeps: a
    list with one tensor a device. Each device has a share of the vocabulary, and
    gets all logits. On the first they are looked at: rows that cannot be are counted at
    the end of its signal buffer.
    """

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        devices = config.devices
        shape = (config.vocab_size, config.hidden_size)
        self.weight = Weight("weight", DType.bfloat16, shape, devices[0])
        by_rows = ShardingStrategy.rowwise(len(devices))
        self.shares = spread(self.weight, by_rows, devices)

    def __call__(
        self, x: Sequence[TensorValue], signal_buffers: Sequence[BufferValue]
    ) -> list[TensorValue]:
        logits = [dense_float32(*pair) for pair in zip(x, self.shares, strict=True)]
        if len(logits) > 1:
            logits = ops.allgather(logits, signal_buffers, axis=-1)
        count_broken(logits[0], signal_buffers[0])
        return logits
