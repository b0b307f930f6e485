"""What is replaced in the model worker has the same effects as what MAX does there.

Each test runs the same requests twice, with MAX as it is and with what is replaced.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from operator import is_
from typing import Any

import numpy as np
import pytest
from max import tree
from max.driver import Buffer
from max.dtype import DType
from max.pipelines.context import GenerationStatus, TextContext, TokenBuffer
from max.pipelines.context.log_probabilities import LogProbabilities
from max.pipelines.kv_cache import InsufficientBlocksError
from max.pipelines.kv_cache.paged_kv_cache.jenga_block_manager import JengaBlockManager
from max.pipelines.kv_cache.paged_kv_cache.jenga_cache_manager import (
    JengaKVCacheManager,
)
from max.pipelines.modeling.types import RequestID, TextGenerationInputs

from mxfp4 import served
from mxfp4.garbage import look_for_garbage_less
from mxfp4.max_patches import registry
from mxfp4.max_patches.catalog import FEATURES, LEAN, LEAN_FEATURES
from mxfp4.max_patches.patch import MAX
from worker import cache

PAGE = 128
MOST = 1024
"""Tokens of the longest request."""

History = list[Any]


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Puts back what a test replaces."""
    threshold = gc.get_threshold()
    yield
    registry.undo(*(feature.name for feature in FEATURES if feature.worker_only))
    gc.set_threshold(*threshold)


def replace() -> None:
    for name in "request_state", "pages":
        assert registry.apply(name).kind is registry.Kind.APPLIES


def make_lean() -> None:
    """Replaces all that a worker replaces of a step."""
    for name in LEAN_FEATURES:
        assert registry.apply(name).kind is registry.Kind.APPLIES
    look_for_garbage_less()


def twice(run: Callable[[], History]) -> None:
    """Compares what happens without and with what is replaced."""
    wanted = run()
    replace()
    for step, (theirs, ours) in enumerate(zip(wanted, run(), strict=True)):
        assert theirs == ours, f"step {step}"


def manager(pages_in_all: int, *, prefixes: bool, most: int | None) -> Any:
    """MAX's own, with a cache for each kind of GPT-OSS's layers, on the CPU."""
    return cache(pages_in_all, 16, MOST, most, prefixes=prefixes)


def tokens_of(ctx: TextContext) -> Any:
    tokens = ctx.tokens
    window, streamed = tokens._processing_range, tokens._completion_range
    return (
        (window.start, window.end, streamed.start, streamed.end),
        (len(tokens), tokens.active_length, tokens.current_position),
        tokens.actively_chunked,
        tokens.all.tolist(),
        ctx._has_pending_future_token(),
        ctx.cached_prefix_length,
        ctx.status,
        ctx._spec_decoding_state,
    )


def state_of(kv: Any, requests: Iterable[TextContext]) -> Any:
    """All there is to know about the pages, and who has them."""
    [pool] = kv.pools
    found: list[Any] = [kv.metrics, pool.num_free_huge_blocks]
    for leaf, prefixes in pool.prefix_caches.items():
        found.append((leaf, pool.num_free_blocks(leaf), len(prefixes)))
    for ctx in requests:
        state = kv._requests[ctx.request_id]
        found.append((ctx.request_id.value, state.hashes[:], state.committed_idx))
        found.append(tokens_of(ctx))
        for leaf, group in kv.groups.items():
            ids = group._bids.get(ctx.request_id)
            found.append((leaf, group._commit_from[ctx.request_id], ids and list(ids)))
            found.append(
                [
                    (block.bid, block.ref_cnt, block.block_hash)
                    for block in group.blocks_of(ctx.request_id)[leaf]
                ]
            )
    return found


def serve(
    seed: int, pages_in_all: int, *, prefixes: bool = True, most: int | None = None
) -> History:
    """Serves random requests, with too few pages and prefixes in common.

    As MAX's scheduler and its pipeline with overlap do: a token is known a step after
    the one that it is written in.
    """
    rng = random.Random(seed)
    kv = manager(pages_in_all, prefixes=prefixes, most=most)
    prompts = [[rng.randrange(1, 99) for _ in range(MOST)] for _ in range(3)]
    # Contexts compare by value, so requests are named.
    running: dict[str, TextContext] = {}
    history: History = []
    made = 0
    for _ in range(400):
        if len(running) < 6 and rng.random() < 0.1:
            made += 1
            prompt = rng.choice(prompts)[: rng.randrange(1, 600)]
            prompt += [rng.randrange(1, 99) for _ in range(rng.randrange(1, 150))]
            ctx = TextContext(
                max_length=MOST,
                tokens=TokenBuffer(np.array(prompt)),
                request_id=RequestID(f"request {made}"),
            )
            kv.claim(ctx)
            running[ctx.request_id.value] = ctx
        batch: dict[str, TextContext] = {}
        for name, ctx in list(running.items()):
            # Sometimes a request is not in a batch.
            if name not in running or rng.random() < 0.05:
                continue
            try:
                history.append(kv.alloc(ctx).is_complete())
                # Sometimes one that has its pages is not, after all.
                if rng.random() < 0.05:
                    continue
                batch[name] = ctx
                if most is not None and ctx.tokens.active_length > most:
                    ctx.tokens.chunk(most)
            except InsufficientBlocksError as error:
                history.append(str(error))
                last, preempted = running.popitem()
                batch.pop(last, None)
                kv.release(preempted)
                preempted.reset()
                if rng.random() < 0.7:
                    kv.claim(preempted)
                    running = {last: preempted} | running
            history.append(state_of(kv, running.values()))
        contexts = list(batch.values())
        if contexts:
            inputs = TextGenerationInputs(batches=[contexts])
            history.append(vars(inputs) | {"batches": None})
            history += [
                each.to_numpy().tolist()
                for each in tree.leaves(kv.runtime_inputs([contexts]), leaf=Buffer)
                if each.dtype is not DType.bfloat16
            ]
        for ctx in contexts:
            if ctx._has_pending_future_token():
                ctx.realize_future_token(rng.randrange(1, 99))
            history.append(ctx.to_generation_output())
            ctx.update_with_future_token()
            kv.step(ctx)
        history.append(state_of(kv, running.values()))
        for name, ctx in batch.items():
            if ctx.tokens.current_position >= MOST or rng.random() < 0.003:
                kv.release(ctx)
                del running[name]
        if rng.random() < 0.02:
            kv.reset_prefix_cache()
        if rng.random() < 0.1:
            history.append(kv.take_metrics())
    return history


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("prefixes", "most"), [(True, None), (True, 200), (True, 64), (False, 200)]
)
def test_pages_go_where_they_would(prefixes: bool, most: int | None, seed: int) -> None:
    twice(lambda: serve(seed, 28, prefixes=prefixes, most=most))


def test_max_looks_once_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def count(name: str) -> None:
        own = getattr(JengaBlockManager, name)

        def counted(*args: Any) -> Any:
            calls[name] += 1
            return own(*args)

        monkeypatch.setattr(JengaBlockManager, name, counted)

    count("_commit_blocks_into_prefix_cache")
    count("_reuse_blocks_from_prefix_cache")
    replace()
    kv = manager(28, prefixes=True, most=None)
    ctx = TextContext(max_length=MOST, tokens=TokenBuffer(np.arange(100)))
    kv.claim(ctx)
    for _ in range(5 * PAGE):
        kv.alloc(ctx)
        if ctx._has_pending_future_token():
            ctx.realize_future_token(7)
        ctx.update_with_future_token()
        kv.step(ctx)
    assert kv._state_of(ctx).committed_idx == 5 * PAGE
    # The first time, and for each page; its last token is known a step later.
    assert 5 <= calls["_commit_blocks_into_prefix_cache"] <= 20
    assert 5 <= calls["_reuse_blocks_from_prefix_cache"] <= 10


def test_what_is_wrong_is_said_as_before() -> None:
    def run() -> History:
        kv = manager(28, prefixes=True, most=None)
        ctx = TextContext(
            max_length=MOST,
            tokens=TokenBuffer(np.arange(100)),
            request_id=RequestID("a"),
            vocab_size=50,
        )
        history: History = []

        def attempt(act: Callable[[], Any]) -> None:
            try:
                history.append(act())
            except (ValueError, RuntimeError, AssertionError) as error:
                history.append((type(error), str(error)))

        attempt(lambda: kv.alloc(ctx))
        attempt(lambda: kv.step(ctx))
        kv.claim(ctx)
        attempt(lambda: kv.runtime_inputs([[ctx]]))
        [group, _] = kv.groups.values()
        attempt(lambda: group.forward_blocks([ctx], [1]))
        kv.alloc(ctx)
        for token in (49, 50, -1, -999):
            ctx.update(token)
            attempt(ctx.to_generation_output)
            history.append(tokens_of(ctx))
        attempt(ctx.update_with_future_token)
        return history

    twice(run)


def test_buffers_are_the_same() -> None:
    def run() -> History:
        rng = random.Random(0)
        history: History = []
        for _ in range(60):
            # A prompt may end with what stands for a token to come.
            prompt = [rng.choice([5, -999]) for _ in range(rng.randrange(1, 9))]
            ctx = TextContext(
                max_length=MOST,
                tokens=TokenBuffer(np.array(prompt)),
                request_id=RequestID("a"),
            )
            tokens = ctx.tokens
            for _ in range(40):
                act = rng.choice(
                    [
                        tokens.advance_with_token,
                        tokens.advance_with_token,
                        tokens.apply_processing_offset,
                        tokens.rewind_processing,
                        tokens.skip_processing,
                        tokens.chunk,
                        lambda _, tokens=tokens: tokens.advance_chunk(),
                    ]
                )
                try:
                    act(rng.randrange(-2, 4))
                except ValueError as error:
                    history.append(str(error))
                history.append((tokens_of(ctx), tokens.active.tolist()))
        return history

    twice(run)


def test_outputs_are_the_same() -> None:
    def run() -> History:
        rng = random.Random(0)
        history: History = []
        for known in range(40):
            ctx = TextContext(
                max_length=MOST,
                tokens=TokenBuffer(np.arange(5)),
                request_id=RequestID("a"),
                vocab_size=rng.choice([None, 100]),
            )
            for _ in range(30):
                match rng.randrange(6):
                    case 0:
                        history.append(ctx.to_generation_output())
                    case 1 if not ctx._has_pending_future_token():
                        ctx.update_with_future_token()
                    case 2 if ctx._has_pending_future_token():
                        ctx.realize_future_token(rng.randrange(100))
                    case 3 if not ctx._has_pending_future_token():
                        said = LogProbabilities([known], [-0.5], [{known: -0.5}])
                        ctx.update(
                            rng.randrange(100), said if rng.random() < 0.3 else None
                        )
                    case 4 if rng.random() < 0.1:
                        ctx.reset()
                    case 5 if rng.random() < 0.1:
                        ctx.status = GenerationStatus.END_OF_SEQUENCE
                history.append(tokens_of(ctx))
        return history

    twice(run)


def test_batches_are_counted_the_same() -> None:
    def run() -> History:
        rng = random.Random(0)
        history: History = []
        for _ in range(200):
            batches = []
            for _ in range(rng.randrange(3)):
                batch = [
                    TextContext(
                        max_length=MOST,
                        tokens=TokenBuffer(np.arange(rng.randrange(1, 50))),
                        _is_padding_ctx=rng.random() < 0.2,
                    )
                    for _ in range(rng.randrange(4))
                ]
                for ctx in batch:
                    if rng.random() < 0.8:
                        ctx.update(3)
                batches.append(batch)
            history.append(
                vars(TextGenerationInputs(batches=batches)) | {"batches": None}
            )
        return history

    twice(run)


def test_ids_of_the_same_text_are_one_key() -> None:
    replace()
    assert {RequestID("a"): 1} == {RequestID("a"): 1}
    assert len({RequestID("a"), RequestID("a"), RequestID("b")}) == 2


def test_max_is_the_version_that_was_compared() -> None:
    assert version("max") == MAX


@pytest.mark.parametrize(
    ("asked", "parent", "max_version", "wanted"),
    [
        ("1", None, MAX, False),
        ("1", 1, "0", False),
        ("0", 1, MAX, False),
        ("1", 1, MAX, True),
    ],
)
def test_it_is_the_workers_alone_and_can_be_turned_off(
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    parent: Any,
    max_version: str,
    wanted: bool,
) -> None:
    monkeypatch.setenv(LEAN, asked)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(registry, "version", lambda _: max_version)
    before = all_replaced()
    registry.install()
    once = all_replaced()
    registry.install()
    assert all(map(is_, once, all_replaced()))
    assert [one is not other for one, other in zip(before, once, strict=True)] == [
        wanted
    ] * len(before)


def report_step(queue: Any, model: type) -> None:
    """Tells whose step a process takes that was sent the model's class."""
    assert model is served.GptOssModel
    queue.put(JengaKVCacheManager.step.__module__)


@pytest.mark.parametrize(
    ("asked", "wanted"), [("1", "mxfp4."), ("0", "max.pipelines.")]
)
def test_a_process_that_imports_this_to_learn_its_task_is_a_worker(
    monkeypatch: pytest.MonkeyPatch, asked: str, wanted: str
) -> None:
    # MAX's worker is started so: what it is to run names the architecture, which is
    # imported before the process knows its parent.
    monkeypatch.setenv(LEAN, asked)
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=report_step, args=(queue, served.GptOssModel))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    assert queue.get().startswith(wanted)


def all_replaced() -> list[Any]:
    return [
        vars(patch.owner)[patch.name]
        for name in LEAN_FEATURES
        for patch in registry.patches_of(name)
    ]
