"""The language model's head, with logits in float32."""

from __future__ import annotations

from collections.abc import Sequence

from max.dtype import DType
from max.graph import BufferValue, TensorValue, Weight
from max.nn.layer import Module

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.ops import logits


class LogitsHead(Module):
    """One matmul over the vocabulary whose result is never rounded to bfloat16.

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
        return [logits(hidden, self.weight)]
