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

ROWS, SETTLED = "mxfp4_rows", "mxfp4_settled"
"""What is remembered with a request: its rows of pages, which MAX changes in place, and
what its tokens and hashes were when there was nothing left to publish or to give back.
MAX drops both with the rest of the request's state when it releases the request."""


def _is_plain(manager: Any) -> bool:
    return manager._connector is None and all(
        type(group) in PLAIN for group in manager._groups.values()
    )


def _rows(manager: Any, ctx: TextContext) -> tuple[list[Any], ...]:
    return tuple(
        group.rows[ctx.request_id][group.leaf_id] for group in manager._groups.values()
    )


def _measure(manager: Any, ctx: TextContext, state: Any) -> tuple[int, int, int]:
    """Returns what publishing and giving back depend on."""
    filled = ctx.tokens.processed_length // manager._block_size
    return filled, len(state.hashes), state.committed_idx


def _is_settled(manager: Any, ctx: TextContext, state: Any) -> bool:
    """Returns whether MAX left nothing to publish of what is filled and hashed."""
    filled, hashed, committed = _measure(manager, ctx, state)
    last = min(filled, hashed)
    return committed == last * manager._block_size and all(
        len(row) >= last
        and all(block.is_null or block.block_hash is not None for block in row[:last])
        for row in _rows(manager, ctx)
    )


def install() -> None:
    """Does so from now on."""
    allocate = JengaBlockManager.alloc
    required_blocks = JengaBlockManager._num_required_blocks
    resume = JengaKVCacheManager._resume_state
    record = JengaKVCacheManager.step
    forward_blocks = KVGroupCoordinatorInterface.forward_blocks
    blocks_to_allocate = KVGroupCoordinatorInterface.blocks_to_allocate
    if allocate.__module__ == __name__:
        return

    def alloc(self: Any, ctx: TextContext) -> Any:
        state = self._requests.get(ctx.request_id)
        if state is None:
            return allocate(self, ctx)
        known = state.__dict__
        rows = known.get(ROWS)
        tokens = ctx.tokens
        if rows is not None and tokens.processed_length != 0:
            required = self._num_required_blocks(ctx)
            for row in rows:
                if len(row) < required:
                    break
            else:
                self._metrics.input_tokens += tokens.active_length
                return CompletedTransfer()
        # It may take pages of others, or lose some, before it fails, too.
        known.pop(ROWS, None)
        known.pop(SETTLED, None)
        transfer = allocate(self, ctx)
        if _is_plain(self):
            known[ROWS] = _rows(self, ctx)
        return transfer

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
        state = self._requests.get(ctx.request_id)
        if state is None:
            record(self, ctx)
            return
        known, size = state.__dict__, self._block_size
        settled = known.get(SETTLED)
        if settled is not None:
            tokens = ctx.tokens
            filled, hashed, committed = settled
            if (
                tokens.processed_length // size == filled
                and len(state.hashes) == hashed
                and state.committed_idx == committed
                # The last token is never hashed.
                and len(tokens) - 1 - hashed * size < size
            ):
                return
        known.pop(SETTLED, None)
        record(self, ctx)
        if (
            ROWS in known
            and self._enable_prefix_caching
            and _is_settled(self, ctx, state)
        ):
            known[SETTLED] = _measure(self, ctx, state)

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
    JengaBlockManager._num_required_blocks = _num_required_blocks  # type: ignore[method-assign]
    JengaKVCacheManager._resume_state = _resume_state  # type: ignore[method-assign]
    JengaKVCacheManager.step = step  # type: ignore[method-assign]
    KVGroupCoordinatorInterface.blocks_to_allocate = _blocks_to_allocate  # type: ignore[method-assign]
    KVGroupCoordinatorInterface.forward_blocks = _forward_blocks  # type: ignore[method-assign]
