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


def install() -> None:
    """Does so from now on."""
    allocate = JengaBlockManager.alloc
    required_blocks = JengaBlockManager._num_required_blocks
    release = JengaBlockManager.release
    resume = JengaKVCacheManager._resume_state
    record = JengaKVCacheManager.step
    forward_blocks = KVGroupCoordinatorInterface.forward_blocks
    blocks_to_allocate = KVGroupCoordinatorInterface.blocks_to_allocate
    if allocate.__module__ == __name__:
        return

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
            _forget(self, ctx)
        transfer = allocate(self, ctx)
        if _is_plain(self):
            held = Held(self, _rows(self, ctx))
            # Of any context that names the request.
            self._requests[ctx.request_id].__dict__[HELD] = held
            ctx.__dict__[HELD] = held
        return transfer

    def _forget(manager: Any, ctx: TextContext) -> None:
        state = manager._requests.get(ctx.request_id)
        held = None if state is None else state.__dict__.pop(HELD, None)
        if held is not None:
            held.manager = None

    def _release(self: Any, ctx: TextContext) -> None:
        _forget(self, ctx)
        release(self, ctx)

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

    def _resume_state(self: Any, batches: Sequence[Sequence[TextContext]]) -> None:
        if not all(type(group) in PLAIN for group in self._groups.values()):
            resume(self, batches)

    def _blocks_to_allocate(
        self: Any, request_id: RequestID, required: int
    ) -> dict[str, int]:
        if type(self) not in PLAIN:
            return blocks_to_allocate(self, request_id, required)
        leaf_id = self.leaf_id
        missing = required - len(self.rows[request_id][leaf_id])
        return {leaf_id: missing if missing > 0 else 0}

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

    JengaBlockManager.alloc = alloc  # type: ignore[method-assign]
    JengaBlockManager.release = _release  # type: ignore[method-assign]
    JengaBlockManager._num_required_blocks = _num_required_blocks  # type: ignore[method-assign]
    JengaKVCacheManager._resume_state = _resume_state  # type: ignore[method-assign]
    JengaKVCacheManager.step = step  # type: ignore[method-assign]
    KVGroupCoordinatorInterface.blocks_to_allocate = _blocks_to_allocate  # type: ignore[method-assign]
    KVGroupCoordinatorInterface.forward_blocks = _forward_blocks  # type: ignore[method-assign]
