"""Log-probabilities beside MAX's overlap scheduler, on MAX's own objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from max.pipelines.context import LogProbabilities, TextContext, TokenBuffer
from max.pipelines.lib import ModelOutputs
from max.pipelines.lib.pipeline_variants.overlap_text_generation import (
    AsyncBatch,
    OverlapTextGenerationPipeline,
)
from max.pipelines.modeling.types import RequestID, TextGenerationInputs

from mxfp4 import gpt_oss
from mxfp4.gpt_oss import log_probabilities


def context(name: str, wanted: int) -> TextContext:
    return TextContext(
        request_id=RequestID(name),
        max_length=64,
        tokens=TokenBuffer(np.array([5, 6, 7], np.int64)),
        log_probabilities=wanted,
    )


def found(token: int) -> LogProbabilities:
    return LogProbabilities([-0.5], [{token: -0.5, 3: -1.5}], [token])


def batch(contexts: list[TextContext], tokens: list[int]) -> Any:
    """A step whose tokens have arrived."""
    return AsyncBatch(
        inputs=TextGenerationInputs(batches=[contexts]),
        generated_tokens_device=None,  # type: ignore[arg-type]
        generated_tokens_host=SimpleNamespace(  # type: ignore[arg-type]
            to_numpy=lambda: np.array(tokens, np.int64)
        ),
        copy_event=SimpleNamespace(synchronize=lambda: None),  # type: ignore[arg-type]
        overwrite_future=True,
    )


def test_it_is_in_place() -> None:
    assert gpt_oss.ARCHITECTURES
    for method in (
        OverlapTextGenerationPipeline._execute,
        OverlapTextGenerationPipeline._sample_logits,
        AsyncBatch.sync_and_process_outputs,
    ):
        assert method.__module__ == log_probabilities.__name__


def test_each_token_has_the_log_probabilities_of_its_own_step() -> None:
    contexts = [context("with", 2), context("without", 0)]
    for token in (11, 12):
        for each in contexts:
            each.update_with_future_token()
        step = batch(contexts, [token, 40])
        step.log_probabilities = [found(token), None]
        outputs = step.sync_and_process_outputs().output_dict
        got = outputs[RequestID("with")]
        assert list(got.tokens) == [token]
        assert got.log_probabilities == [found(token)]
        assert outputs[RequestID("without")].log_probabilities is None


def test_a_step_that_nobody_wants_them_of_has_none() -> None:
    contexts = [context("without", 0)]
    contexts[0].update_with_future_token()
    outputs = batch(contexts, [40]).sync_and_process_outputs().output_dict
    assert outputs[RequestID("without")].log_probabilities is None


def test_what_is_in_the_middle_of_its_prompt_gets_none() -> None:
    contexts = [context("long", 2)]
    step = batch(contexts, [11])
    step.log_probabilities = [found(11)]
    assert step.sync_and_process_outputs().output_dict == {}
    assert not contexts[0]._log_probabilities_data


def test_the_pipeline_is_not_told_that_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts = [context("with", 2)]
    inputs = TextGenerationInputs(batches=[contexts])
    assert inputs.enable_log_probs
    quiet = log_probabilities.quiet(inputs)
    assert not quiet.enable_log_probs
    assert quiet.batch_top_log_probs == [2]
    assert quiet.flat_batch == contexts
    assert inputs.enable_log_probs


def test_a_replayed_graph_s_logits_are_those_of_the_next_tokens() -> None:
    logits: Any = object()
    replayed = log_probabilities.of_next_tokens(ModelOutputs(logits))
    assert replayed.logits is replayed.next_token_logits is logits
    both = ModelOutputs(object(), next_token_logits=logits)  # type: ignore[arg-type]
    assert log_probabilities.of_next_tokens(both) is both
