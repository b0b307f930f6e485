"""MAX's sampler, which masks logits in place.

A head has more rows than the tokenizer has tokens. MAX masks what is left over in a
copy of all logits, which for 512 requests takes 0.7 ms of a step. Here the kernel
package writes minus infinity into those columns alone. It does so, too, with the tokens
that a grammar does not allow, in the rows of requests that have one.
"""

from __future__ import annotations

from typing import Any

from max.dtype import DType
from max.graph import BufferValue, DeviceRef, Graph, TensorValue, Value
from max.pipelines.lib.pipeline_variants import text_generation
from max.pipelines.sampling import TopKSampler

from mxfp4.kernels import ops
from mxfp4.max_patches.patch import Patches


class Sampler(TopKSampler):
    """The same, where the kernel package is loaded beside it."""

    def __call__(self, *inputs: Value[Any]) -> tuple[TensorValue, ...]:
        tokens, names = self._unpadded_vocab_size, self._input_names
        logits = inputs[names.index("logits")].buffer
        if tokens is None or not _can_mask(logits):
            return super().__call__(*inputs)
        # Penalties come later, and leave what is infinite as it is.
        ops.mask_padding(logits, tokens)
        # With offsets the rows are not the requests'.
        if "bitmask" in names and "logit_offsets" not in names:
            at = names.index("bitmask")
            ops.mask_tokens(logits, inputs[at].tensor)
            self._input_names = [
                "" if name == "bitmask" else name for name in self._input_names
            ]
        self._unpadded_vocab_size = None
        try:
            return super().__call__(*inputs)
        finally:
            self._unpadded_vocab_size, self._input_names = tokens, names


def _can_mask(logits: BufferValue) -> bool:
    """Another model's samplers have no kernel package, and may be on the host."""
    return (
        logits.dtype == DType.float32
        and logits.device != DeviceRef.CPU()
        and ops.MASK_PADDING[0] in Graph.current._kernel_library
    )


PATCHES = Patches()


@PATCHES.replace(text_generation, "TopKSampler", "d2883d3180d99dc9")
def _sampler(_: Any) -> Any:
    return Sampler
