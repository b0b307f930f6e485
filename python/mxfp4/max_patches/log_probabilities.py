"""Lets requests have log-probabilities while MAX's overlap scheduler runs.

MAX refuses them then: its scheduler starts a step before it has read the tokens of the
last, and computing them waits for the GPU. Here only the steps that have such a request
wait; what they get is put where MAX looks for it when it reads the step's tokens.

MAX's graph keeps the likeliest tokens in a heap of three levels, which has room for 7;
asked for more, it raises an error that ends the model's worker. OpenAI's interface goes
to 20. The heap is part of a thread's own memory, and its levels are a parameter.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

from max.pipelines.lib import ModelOutputs
from max.pipelines.lib import log_probabilities as builtin
from max.pipelines.lib.pipeline_variants.overlap_text_generation import (
    AsyncBatch,
    OverlapTextGenerationPipeline,
)
from max.pipelines.modeling.types import TextGenerationInputs

from mxfp4.max_patches.masks import MaskedSampling
from mxfp4.max_patches.patch import Patches

LEVELS = 5
"""Of the heap: there is room for 31."""

MOST = 20
"""Likeliest tokens that a request may ask for."""


class _Quiet(TextGenerationInputs):  # type: ignore[type-arg]
    """Inputs of a step that do not say that log-probabilities are wanted."""

    @property
    def enable_log_probs(self) -> bool:
        return False


def quiet(inputs: TextGenerationInputs[Any]) -> TextGenerationInputs[Any]:
    """Returns the same inputs, which do not say so."""
    inputs = copy.copy(inputs)
    inputs.__class__ = _Quiet
    return inputs


PATCHES = Patches()


# Both are read when a model makes its graph.
@PATCHES.replace(builtin, "_LOGPROBS_HEAP_LEVELS", "4e07408562bedb8b")
def _levels(_: int) -> int:
    return LEVELS


@PATCHES.replace(builtin, "_MAX_TOP_LOGPROBS", "7902699be42c8a8e")
def _most(_: int) -> int:
    return MOST


@PATCHES.replace(OverlapTextGenerationPipeline, "_execute", "14945804d2b70b29")
def _execute_quietly(execute: Any) -> Any:
    def _execute(self: Any, inputs: Any) -> Any:
        return execute(self, quiet(inputs) if inputs.enable_log_probs else inputs)

    return _execute


@PATCHES.replace(OverlapTextGenerationPipeline, "_sample_logits", "4ab110354af4108f")
def _sample(sample: Any) -> Any:
    def _sample_logits(self: Any, inputs: Any, outputs: Any, processor: Any) -> Any:
        wanted = inputs.batch_top_log_probs
        if not any(wanted):
            return sample(self, inputs, outputs, processor)
        found = of_next_tokens(outputs)
        if isinstance(processor, MaskedSampling):
            # They are the model's own, and masks are written over its logits.
            found = kept(found)
        batch = sample(self, inputs, outputs, processor)
        model = self._pipeline_model
        batch.log_probabilities = model.compute_log_probabilities(
            self.session,
            model.last_inputs,
            found,
            processor.new_tokens,
            wanted,
            # Those of a prompt would need the logits of all its tokens.
            [False] * len(wanted),
        )
        return batch

    return _sample_logits


@PATCHES.replace(AsyncBatch, "sync_and_process_outputs", "94e05e232b9a1288")
def _sync(sync: Any) -> Any:
    def sync_and_process_outputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Most steps have none, and are not to cost more for it.
        if found := self.__dict__.get("log_probabilities"):
            _hand_over(self.inputs.flat_batch, found)
        return sync(self, *args, **kwargs)

    return sync_and_process_outputs


def _hand_over(contexts: Sequence[Any], found: Sequence[Any]) -> None:
    """Puts what each request wanted where MAX looks for it."""
    for context, log_probabilities in zip(contexts, found, strict=True):
        # What has generated nothing is in the middle of its prompt.
        if log_probabilities is not None and context.tokens.generated_length:
            place = context.tokens.current_position - 1
            context._log_probabilities_data[place] = log_probabilities


def of_next_tokens(outputs: ModelOutputs) -> ModelOutputs:
    """Returns outputs that name the logits of the next tokens.

    Those of a replayed graph are all that there are, and stand under another name.
    """
    if outputs.next_token_logits is not None:
        return outputs
    return dataclasses.replace(outputs, next_token_logits=outputs.logits)


def kept(outputs: ModelOutputs) -> ModelOutputs:
    """Returns outputs whose logits of the next tokens stay as they are."""
    logits = outputs.next_token_logits
    assert logits is not None
    return dataclasses.replace(outputs, next_token_logits=logits.copy())
