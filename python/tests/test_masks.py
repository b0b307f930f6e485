"""Masks of a batch's tokens, through MAX's own sampler on the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from max import _xgrammar as xgrammar
from max.driver import CPU, Accelerator, Buffer, Device
from max.engine import InferenceSession
from max.graph import DeviceRef
from max.pipelines.context import SamplingParams, TextContext, TokenBuffer
from max.pipelines.lib.pipeline_variants import overlap_text_generation as overlap
from max.pipelines.lib.pipeline_variants.structured_output_backend import (
    XgrammarBackend,
)
from max.pipelines.lib.pipeline_variants.text_generation import load_sampler_graphs
from max.pipelines.lib.pipeline_variants.utils import StructuredOutputHelper
from max.pipelines.modeling.types import RequestID
from max.pipelines.sampling import SamplingConfig
from max.pipelines.sampling.sampling_logits_processor import FusedSamplingProcessor

from mxfp4.max_patches import bounds, masks, registry

VOCABULARY = 70
"""Tokens: letters and digits, some without a name, and an end. No multiple of 32."""

WIDTH = 100
"""Logits of a row: a head has more rows than the vocabulary has tokens."""

END = 69
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MOST = 6
DIGITS = {LETTERS.index(digit) for digit in "0123456789"}


def backend() -> XgrammarBackend:
    names = [*LETTERS, *(f"<{at}>" for at in range(len(LETTERS), VOCABULARY))]
    info = xgrammar.TokenizerInfo(
        [name.encode() for name in names],
        vocab_type=xgrammar.VocabType.RAW,
        vocab_size=VOCABULARY,
        stop_token_ids=[END],
        special_token_ids=list(range(len(LETTERS), VOCABULARY)),
    )
    return XgrammarBackend(xgrammar.GrammarCompiler(info))


def tag(pattern: str) -> str:
    form = {"type": "regex", "pattern": pattern}
    return json.dumps({"type": "structural_tag", "format": form})


class Pipeline:
    """What of MAX's pipeline the sampling of a step needs."""

    def __init__(self, device: Device, samplers: dict[str, Any]) -> None:
        self._devices = [SimpleNamespace(is_host=False)]
        self._sampler_device = device
        self._sampler_with_bitmask = samplers.get("sampler_bitmask")
        self._sampler_without_bitmask = samplers["sampler"]
        self._pipeline_config = SimpleNamespace(sampling=SamplingConfig())
        self._pinned_new_tokens = None
        self._identity_logit_offsets = None
        self._max_batch_size = MOST
        self.vocab_size = VOCABULARY
        self._structured_output = StructuredOutputHelper(
            enabled=True,
            enable_response_format_schema=True,
            vocab_size=VOCABULARY,
            backend=backend(),
        )

    def initialize_bitmask(self, batch: list[TextContext]) -> Any:
        made = overlap.OverlapTextGenerationPipeline.initialize_bitmask
        return made(self, batch)  # type: ignore[arg-type]

    def step(self, batch: list[TextContext], logits: np.ndarray) -> list[int]:
        """Draws a token for each request; returns them."""
        made = overlap.OverlapTextGenerationPipeline._create_sampling_processor
        processor, bitmask = made(self, batch)  # type: ignore[arg-type]
        assert bitmask is None
        self.processor = processor
        device = self._sampler_device
        given = Buffer.from_numpy(logits.astype(np.float32)).to(device)
        processor(SimpleNamespace(logits=given, logit_offsets=None))  # type: ignore[arg-type]
        tokens = processor.new_tokens.to(CPU()).to_numpy().tolist()
        for context, token in zip(batch, tokens, strict=True):
            context.advance_fsm(token)
        return tokens  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def samplers(request: pytest.FixtureRequest) -> tuple[Device, dict[str, Any]]:
    if request.param == "gpu":
        request.getfixturevalue("hopper")
    device: Device = Accelerator() if request.param == "gpu" else CPU()
    config: Any = SimpleNamespace(
        sampling=SamplingConfig(), needs_bitmask_constraints=True
    )
    session = InferenceSession(devices=[device])
    _, found = load_sampler_graphs(
        session, config, DeviceRef.from_device(device), VOCABULARY
    )
    return device, found


@pytest.fixture
def pipeline(samplers: Any) -> Iterator[Pipeline]:
    assert registry.apply("masks").kind is registry.Kind.APPLIES
    yield Pipeline(*samplers)
    registry.undo("masks")


def context(name: str, pattern: str | None = None, **kwargs: Any) -> TextContext:
    made = TextContext(
        request_id=RequestID(name),
        max_length=512,
        tokens=TokenBuffer(np.array([1, 2], np.int64)),
        sampling_params=SamplingParams(**({"top_k": -1} | kwargs)),
        grammar=None if pattern is None else tag(pattern),
    )
    made.eos_tracker.eos_token_ids.add(END)
    if pattern is not None:
        made.grammar_state.grammar_enforced = True
        made.grammar_state.tools_forced = True
    return made


def flat(rows: int) -> np.ndarray:
    return np.zeros((rows, WIDTH))


def test_a_grammar_chooses_among_its_tokens_to_its_end(pipeline: Pipeline) -> None:
    digits = context("digits", "[0-9]{3}")
    drawn = [pipeline.step([digits], flat(1))[0] for _ in range(3)]
    assert set(drawn) <= DIGITS
    assert not digits.eos_tracker.is_eos_from_tokens(np.array(drawn))
    # The end is all that is left, however little the model likes it.
    logits = flat(1)
    logits[0, END] = -50.0
    assert pipeline.step([digits], logits) == [END]
    # A step more is on its way before that is known.
    assert pipeline.step([digits], flat(1)) == [END]


def test_a_likelier_token_that_is_not_allowed_is_not_drawn(pipeline: Pipeline) -> None:
    logits = flat(2)
    logits[:, LETTERS.index("z")] = 40.0
    both = [context("one", "[0-9]*"), context("other")]
    for _ in range(8):
        token, free = pipeline.step(both, logits)
        assert token in DIGITS or token == END
        assert free == LETTERS.index("z")
        if token == END:
            break


def test_without_a_grammar_the_sampler_takes_no_masks(pipeline: Pipeline) -> None:
    pipeline.step([context("one"), context("two")], flat(2))
    assert type(pipeline.processor) is FusedSamplingProcessor
    assert pipeline.processor.sampler is pipeline._sampler_without_bitmask
    assert pipeline.processor.tensor_bitmask is None
    assert masks.MASKS not in pipeline.__dict__


def test_rows_keep_to_their_requests_as_batches_change(pipeline: Pipeline) -> None:
    """Against masks made anew for each batch."""
    rng = np.random.default_rng(7)
    patterns = ["[0-9]+", "[a-c]{2,9}", "x(yz)*", None, None]
    live: list[TextContext] = []
    for at in range(60):
        if live and rng.random() < 0.3:
            live.pop(int(rng.integers(len(live))))
        while len(live) < MOST and rng.random() < 0.6:
            live.append(context(f"{at}-{len(live)}", patterns[rng.integers(5)]))
        batch = [live[place] for place in rng.permutation(len(live))]
        if not batch:
            continue
        helper = pipeline._structured_output
        expected = np.full((len(batch), -(-WIDTH // 32)), -1, np.int32)
        for row, each in enumerate(batch):
            if each.matcher is None and each.grammar is not None:
                helper.install_matcher(each, helper.build_matcher(each.grammar, None))
            if each.matcher is not None:
                words = helper.allocate_bitmask(1)
                masks.fill(helper, each, words)
                expected[row, : words.shape[1]] = words[0]
        tokens = pipeline.step(batch, flat(len(batch)))
        told = pipeline.processor.tensor_bitmask
        if told is None:
            assert not any(each.grammar for each in batch)
        else:
            np.testing.assert_array_equal(told.to(CPU()).to_numpy(), expected)
        for row, (each, token) in enumerate(zip(batch, tokens, strict=True)):
            assert token < VOCABULARY
            assert expected[row, token // 32] >> (token % 32) & 1
            if token == END:
                live = [other for other in live if other is not each]


def test_a_rejected_token_leaves_end_tokens_alone(pipeline: Pipeline) -> None:
    digits = context("digits", "[0-9]{3}")
    pipeline.step([digits], flat(1))
    digits.advance_fsm(LETTERS.index("q"))
    assert not digits.grammar_enforced
    assert pipeline.step([digits], flat(1)) == [END]


def test_a_request_that_is_computed_again_goes_on_where_it_was(
    pipeline: Pipeline,
) -> None:
    word = context("word", "abcde")
    drawn = pipeline.step([word], flat(1))
    word.update_with_future_token()
    word.realize_future_token(drawn[0])
    # What was drawn for the step that was on its way is lost.
    word.update_with_future_token()
    word.reset()
    for _ in range(4):
        drawn += pipeline.step([word], flat(1))
    assert "".join(LETTERS[token] for token in drawn) == "abcde"


def test_a_grammar_for_a_part_of_the_answer_waits(pipeline: Pipeline) -> None:
    later = context("later", "[0-9]")
    later.grammar_state.grammar_enforced = False
    later.grammar_state.tools_forced = False
    logits = flat(1)
    logits[0, 3] = 40.0
    assert pipeline.step([later], logits) == [3]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [([], []), ([0], [(0, 1)]), ([5, 1, 2, 3], [(1, 4), (5, 6)])],
)
def test_rows_that_follow_one_another_are_one_copy(rows: Any, wanted: Any) -> None:
    assert list(masks.runs(rows)) == wanted


@pytest.mark.parametrize("helpers", [0, 3])
def test_threads_fill_what_one_would(helpers: int) -> None:
    """Of matchers with and without bounds, some stopped, left, or not yet in force."""
    assert registry.apply("bounds").kind is registry.Kind.APPLIES
    try:
        made = backend()
        helper = SimpleNamespace(backend=made)
        marks = bounds.Marks(end=30, message=31, analysis=[3], blanks=[2])
        batch = [context(f"{at}", f"[a-z]{{{at % 5}}}[0-9]{{1,2}}") for at in range(90)]
        for at, each in enumerate(batch):
            matcher = made.create_matcher(each.grammar)
            if at % 2:
                budget = [None, 0, 4][at % 3]
                matcher = bounds.BoundedMatcher(matcher._matcher, budget, marks)
            each._matcher = matcher
            texts = "abcde"[: at % 5] + "12"
            matcher.try_consume_tokens([LETTERS.index(x) for x in texts[: at % 8]])
            if at % 7 == 0:
                matcher.try_consume_tokens([END])
            if at % 11 == 0:
                each.grammar_state.grammar_enforced = False
                each.grammar_state.tools_forced = at % 2 == 0
        assert {each.matcher.is_stopped() for each in batch} == {True, False}
        rows = [np.full((1, 3), -1, np.int32) for _ in batch]
        masks.fill_all(helper, batch, rows, masks.Threads(helpers))
        alone = np.full((1, 3), -1, np.int32)
        for each, row in zip(batch, rows, strict=True):
            masks.fill(helper, each, alone)
            assert (row == alone).all()
    finally:
        registry.undo("bounds")


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_threads_do_each_row_once_and_tell_of_an_error_when_all_rest(
    helpers: int,
) -> None:
    threads = masks.Threads(helpers)
    done: list[int] = []
    threads.each(done.append, range(100))
    assert sorted(done) == list(range(100))

    def fail(row: int) -> None:
        if row == 50:
            raise MemoryError
        done.append(row)

    done.clear()
    with pytest.raises(MemoryError):
        threads.each(fail, range(100))
    after = len(done)
    threads.each(done.append, range(10))
    assert len(done) == after + 10
    assert len(set(done[:after])) == after
