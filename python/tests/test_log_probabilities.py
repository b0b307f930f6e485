"""Log-probabilities beside MAX's overlap scheduler, on MAX's own objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from max.driver import CPU, Accelerator, Buffer, Device
from max.engine import InferenceSession
from max.graph import DeviceRef
from max.pipelines.context import LogProbabilities, TextContext, TokenBuffer
from max.pipelines.lib import ModelOutputs
from max.pipelines.lib import log_probabilities as builtin
from max.pipelines.lib.pipeline_variants.overlap_text_generation import (
    AsyncBatch,
    OverlapTextGenerationPipeline,
)
from max.pipelines.modeling.types import RequestID, TextGenerationInputs

from mxfp4 import gpt_oss
from mxfp4.max_patches import log_probabilities


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


def test_they_are_taken_before_masks_are_written() -> None:
    logits = Buffer.from_numpy(np.array([[1.0, 2.0]], np.float32))
    outputs = ModelOutputs(logits, next_token_logits=logits)
    kept = log_probabilities.kept(outputs).next_token_logits
    logits.to_numpy()[:] = -np.inf
    assert kept is not None
    assert kept.to_numpy().tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_likeliest_are_found(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "gpu":
        request.getfixturevalue("hopper")
    device: Device = Accelerator() if kind == "gpu" else CPU()
    levels, most = builtin._LOGPROBS_HEAP_LEVELS, log_probabilities.MOST
    assert (levels, builtin._MAX_TOP_LOGPROBS) == (log_probabilities.LEVELS, most)
    graph = builtin.log_probabilities_ragged_graph(
        DeviceRef.from_device(device), levels=levels
    )
    model = InferenceSession(devices=[device]).load(graph)
    rng = np.random.default_rng(0)
    wanted = [most, 0, 1, 7, 8, most]
    rows, vocabulary = len(wanted), 201_088
    logits = 3 * rng.normal(size=(rows, vocabulary)).astype(np.float32)
    drawn = rng.integers(0, vocabulary, rows)
    made = builtin.compute_log_probabilities_ragged(
        device,
        model,
        input_row_offsets=np.arange(rows + 1),
        logits=None,
        next_token_logits=Buffer.from_numpy(logits).to(device),
        tokens=np.zeros(rows, np.int64),
        sampled_tokens=drawn,
        batch_top_n=wanted,
        batch_echo=[False] * rows,
    )
    exact = logits.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    for row, (got, count) in enumerate(zip(made, wanted, strict=True)):
        if not count:
            assert got is None
            continue
        assert got is not None and got.sampled_token_ids == [drawn[row]]
        [top] = got.top_log_probabilities
        likeliest = np.argsort(-exact[row])[:count].tolist()
        assert set(top) == {*likeliest, drawn[row]}
        for token, found in top.items():
            assert abs(found - exact[row, token]) < 1e-2
