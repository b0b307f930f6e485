"""Leaves a request's pages of the KV cache alone while none of them is full.

A request of a batch takes a page and fills one once in as many steps as a page has
tokens. At every step MAX looks for a page to take, for prefixes to reuse, for pages to
publish and for pages to give back, in every cache. Here what it found to do is
remembered with the request, and it looks again when there can be something: when the
request needs more room than its rows have, when it has filled another page, or when a
page more of its tokens can be hashed.

This is for caches of whole and of sliding attention, without a connector to other
memory, as GPT-OSS has them. All others, and requests that have yet to begin, are MAX's.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from max.pipelines.context import TextContext
from max.pipelines.kv_cache.kv_connector import CompletedTransfer
from max.pipelines.kv_cache.paged_kv_cache.jenga_block_manager import (
    JengaBlockManager,
)
from max.pipelines.kv_cache.paged_kv_cache.jenga_cache_manager import (
    JengaKVCacheManager,
)
from max.pipelines.kv_cache.paged_kv_cache.kv_group_coordinator import (
    FullKVGroupCoordinator,
    KVGroupCoordinatorInterface,
    SlidingWindowKVGroupCoordinator,
)
from max.pipelines.modeling.types import RequestID

from mxfp4.max_patches.patch import Patches

PLAIN = {FullKVGroupCoordinator, SlidingWindowKVGroupCoordinator}
"""Groups whose pages are only appended to, published and given back."""

HELD = "_mxfp4_held"
"""Where a request's context has what is remembered of its pages."""


class Held:
    """What is remembered of a request's pages, as long as `manager` has them."""

    __slots__ = ("high", "low", "manager", "pages", "plan", "planned", "rows", "until")

    def __init__(self, manager: Any, rows: tuple[list[Any], ...]) -> None:
        self.manager = manager
        self.rows = rows
        # Rows grow where this is made anew, and nowhere else.
        self.pages = min(map(len, rows))
        self.forget()

    def forget(self) -> None:
        """Forgets what a step may have changed."""
        # There is nothing to publish or to give back while so many tokens are
        # processed, and the request has no more than so many.
        self.low = self.high = self.until = 0
        # What the device is told of the pages, for a step that reads so many.
        self.planned = 0
        self.plan: tuple[Sequence[int], ...] = ()


def held_by(manager: Any, ctx: TextContext) -> Held | None:
    """Returns what is remembered of a request's pages."""
    held: Held | None = ctx.__dict__.get(HELD)
    return held if held is not None and held.manager is manager else None


def _is_plain(manager: Any) -> bool:
    return manager._connector is None and all(
        type(group) in PLAIN for group in manager._groups.values()
    )


def _rows(manager: Any, ctx: TextContext) -> tuple[list[Any], ...]:
    return tuple(
        group.rows[ctx.request_id][group.leaf_id] for group in manager._groups.values()
    )


def _settle(manager: Any, ctx: TextContext, held: Held) -> None:
    """Remembers until when there is nothing to do, if MAX left nothing to do now."""
    size = manager._block_size
    state = manager._requests[ctx.request_id]
    filled, hashed = ctx.tokens.processed_length // size, len(state.hashes)
    last = min(filled, hashed)
    if state.committed_idx == last * size and all(
        len(row) >= last
        and all(block.is_null or block.block_hash is not None for block in row[:last])
        for row in held.rows
    ):
        held.low, held.high = filled * size, (filled + 1) * size
        # The last token is never hashed.
        held.until = (hashed + 1) * size


def forget(manager: Any, ctx: TextContext) -> None:
    state = manager._requests.get(ctx.request_id)
    held = None if state is None else state.__dict__.pop(HELD, None)
    if held is not None:
        held.manager = None


PATCHES = Patches()


@PATCHES.replace(JengaBlockManager, "alloc", "c79604b9bbcf2093")
def _alloc(allocate: Any) -> Any:
    def alloc(self: Any, ctx: TextContext) -> Any:
        held, tokens = held_by(self, ctx), ctx.tokens
        if held is not None:
            if (
                tokens.processed_length != 0
                and self._num_required_blocks(ctx) <= held.pages
            ):
                self._metrics.input_tokens += tokens.active_length
                return CompletedTransfer()
            # It may take pages of others, or lose some, before it fails, too.
            forget(self, ctx)
        transfer = allocate(self, ctx)
        if _is_plain(self):
            held = Held(self, _rows(self, ctx))
            # Of any context that names the request.
            self._requests[ctx.request_id].__dict__[HELD] = held
            ctx.__dict__[HELD] = held
        return transfer

    return alloc


@PATCHES.replace(JengaBlockManager, "release", "5c35e5081254d613")
def _make_release(release: Any) -> Any:
    def _release(self: Any, ctx: TextContext) -> None:
        forget(self, ctx)
        release(self, ctx)

    return _release


@PATCHES.replace(JengaBlockManager, "_num_required_blocks", "52f1d2abf0e71489")
def _required(required_blocks: Any) -> Any:
    def _num_required_blocks(self: Any, ctx: TextContext) -> int:
        if self._num_draft_tokens:
            return required_blocks(self, ctx)
        tokens = ctx.tokens
        length, most = tokens.active_length, self._max_num_input_tokens
        if most is not None and most < length:
            length = most
        length += tokens.processed_length
        length += len(ctx.spec_decoding_state.maybe_accepted_draft_tokens)
        blocks: int = -(-length // self._block_size)
        return blocks

    return _num_required_blocks


@PATCHES.replace(JengaKVCacheManager, "step", "98de10b351245832")
def _step(record: Any) -> Any:
    def step(self: Any, ctx: TextContext) -> None:
        held = held_by(self, ctx)
        if held is None:
            record(self, ctx)
            return
        tokens = ctx.tokens
        if (
            held.low <= tokens.processed_length < held.high
            and len(tokens) <= held.until
        ):
            return
        held.forget()
        record(self, ctx)
        if self._enable_prefix_caching:
            _settle(self, ctx, held)

    return step


@PATCHES.replace(JengaKVCacheManager, "_resume_state", "01927cffbc2d2a2c")
def _resume(resume: Any) -> Any:
    def _resume_state(self: Any, batches: Sequence[Sequence[TextContext]]) -> None:
        if not all(type(group) in PLAIN for group in self._groups.values()):
            resume(self, batches)

    return _resume_state


@PATCHES.replace(KVGroupCoordinatorInterface, "blocks_to_allocate", "43feceb4e0de2991")
def _missing(blocks_to_allocate: Any) -> Any:
    def _blocks_to_allocate(
        self: Any, request_id: RequestID, required: int
    ) -> dict[str, int]:
        if type(self) not in PLAIN:
            return blocks_to_allocate(self, request_id, required)
        leaf_id = self.leaf_id
        missing = required - len(self.rows[request_id][leaf_id])
        return {leaf_id: missing if missing > 0 else 0}

    return _blocks_to_allocate


@PATCHES.replace(KVGroupCoordinatorInterface, "forward_blocks", "fbab573aa5422c6a")
def _forward(forward_blocks: Any) -> Any:
    def _forward_blocks(
        self: Any, batch: Sequence[TextContext], num_blocks: Sequence[int]
    ) -> dict[str, list[Sequence[int]]]:
        leaf_id, rows, ids_of = self.leaf_id, self.rows, self._bids
        plan: list[Sequence[int]] = []
        for ctx, required in zip(batch, num_blocks, strict=True):
            request_id = ctx.request_id
            blocks = rows[request_id][leaf_id]
            have = len(blocks)
            if have < required:
                # MAX says what is wrong.
                return forward_blocks(self, batch, num_blocks)
            ids = ids_of.get(request_id)
            if ids is None or len(ids) > have:
                ids = ids_of[request_id] = array("I")
            if len(ids) < have:
                ids.extend([block.bid for block in blocks[len(ids) :]])
            plan.append(ids[:required])
        return {leaf_id: plan}

    return _forward_blocks
