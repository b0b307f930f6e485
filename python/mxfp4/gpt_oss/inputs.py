"""What a step of the model reads, in the order in which a captured graph reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from max import tree
from max.driver import Buffer
from max.nn.kv_cache import KVCacheInputs
from max.pipelines.architectures.gpt_oss.batch_processor import GptOssBatchProcessor
from max.pipelines.architectures.gpt_oss.model import GptOssInputs as BuiltinInputs
from max.pipelines.context import TextContext

from mxfp4.gpt_oss import timeline
from mxfp4.max_patches.health import Watch


@dataclasses.dataclass
class GptOssInputs(BuiltinInputs):
    """The built-in inputs, which device graph capture can bind."""

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """All buffers, in the order of the model's inputs."""
        return (
            self.tokens,
            self.return_n_logits,
            *self.input_row_offsets,
            *self.signal_buffers,
            *tree.leaves(self.kv_cache_inputs),
        )


class BatchProcessor(GptOssBatchProcessor):
    """Makes the inputs as the built-in processor does, and looks after the logits."""

    _watch: Watch | None = None
    _timeline: timeline.Timeline | None = None
    _started = False

    def prepare_initial_token_inputs(
        self,
        replica_batches: Sequence[Sequence[TextContext]],
        kv_cache_inputs: KVCacheInputs[Buffer, Buffer] | None = None,
        return_n_logits: int = 1,
    ) -> GptOssInputs:
        """Returns the inputs of the next step of a batch."""
        if not self._started:
            # Before the first graph is captured.
            self._started = True
            self._timeline = timeline.asked_for(self.runtime.devices[0])
        if self._timeline is not None:
            self._timeline.step()
        inputs = super().prepare_initial_token_inputs(
            replica_batches, kv_cache_inputs, return_n_logits
        )
        if self._watch is None:
            self._watch = Watch(inputs.signal_buffers[0])
        self._watch.step()
        fields = (field.name for field in dataclasses.fields(inputs) if field.init)
        return GptOssInputs(**{name: getattr(inputs, name) for name in fields})
