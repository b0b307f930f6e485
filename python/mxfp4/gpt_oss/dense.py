"""Dense layers on a matmul that stays within its output and may leave float32."""

from __future__ import annotations

from collections.abc import Sequence

from max.dtype import DType
from max.graph import BufferValue, DeviceRef, TensorValue, Weight
from max.nn.layer import Module
from max.nn.stacked_linear import StackedLinear as BuiltinStackedLinear

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.ops import count_broken, dense, dense_float32


class Linear(Module):
    """A linear layer with a bias.

    Takes the place of the built-in one, whose matmul writes beyond its output.
    """

    def __init__(self, in_features: int, out_features: int, device: DeviceRef) -> None:
        super().__init__()
        shape = (out_features, in_features)
        self.weight = Weight("weight", DType.bfloat16, shape, device)
        self.bias = Weight("bias", DType.bfloat16, (out_features,), device)

    def __call__(self, x: TensorValue) -> TensorValue:
        return dense(x, self.weight, self.bias)


class StackedLinear(BuiltinStackedLinear):
    """Several linear layers with biases as one, likewise."""

    def __call__(self, x: TensorValue) -> TensorValue:
        bias = self.stacked_bias
        assert bias is not None
        return dense(x, self.stacked_weight, bias)


class LogitsHead(Module):
    """One matmul over the vocabulary whose result is never rounded to bfloat16, and
    looked at: rows that cannot be are counted at the end of the signal buffer.

    Takes the place of the built-in layer, whose calling convention it keeps: a
    list with one tensor a device.
    """

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        (device,) = config.devices
        shape = (config.vocab_size, config.hidden_size)
        self.weight = Weight("weight", DType.bfloat16, shape, device)

    def __call__(
        self, x: Sequence[TensorValue], signal_buffers: Sequence[BufferValue]
    ) -> list[TensorValue]:
        (hidden,) = x
        logits = dense_float32(hidden, self.weight)
        count_broken(logits, signal_buffers[0])
        return [logits]
