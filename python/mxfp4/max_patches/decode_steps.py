"""Does at once for a batch what MAX does for one of its requests after the other.

Most steps are alike: every request of the batch has generated tokens before, adds one,
and has room for it in its pages. For such a batch a few passes over its requests, and
arrays, take the place of calls for each. Where a batch, or one of its requests, is
otherwise, MAX's own code runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import numpy as np
import numpy.typing as npt
from max._core import request_context
from max._core.profiler import request_burst
from max.driver import Buffer
from max.dtype import DType
from max.nn.kv_cache import BatchCharacteristics
from max.nn.kv_cache.cache_params import KVCacheAssignments, PagedKVLeafRegion
from max.nn.kv_cache.utils import build_max_lengths_tensors
from max.pipelines.architectures.gpt_oss import batch_processor
from max.pipelines.context import (
    FUTURE_TOKEN,
    GenerationStatus,
    TextContext,
    TextGenerationOutput,
)
from max.pipelines.kv_cache.paged_kv_cache._common import KV_CACHE_LENGTHS
from max.pipelines.kv_cache.paged_kv_cache.jenga_cache_manager import (
    JengaKVCacheManager,
)
from max.pipelines.lib.pipeline_variants import overlap_text_generation as overlap
from max.pipelines.lib.pipeline_variants._label_scoring import BatchLabelScorer
from max.pipelines.modeling.types import BatchType, RequestID
from max.pipelines.sampling import sampling_logits_processor as sampling
from max.serve.scheduler import text_generation_scheduler
from max.serve.scheduler.batch_constructor.text_batch_constructor import (
    TextBatchConstructor,
)
from max.serve.scheduler.batch_constructor.token_budget import (
    ActiveTokenBudget,
    RequestType,
)
from max.serve.scheduler.text_generation_scheduler import TokenGenerationScheduler
from max.serve.scheduler_result import SchedulerResult

from mxfp4.max_patches.pages import HELD, Held
from mxfp4.max_patches.patch import Patches

logger = logging.getLogger("max.pipelines.mxfp4")

ACTIVE = GenerationStatus.ACTIVE

TABLES = "_mxfp4_tables"
"""Where a manager of pages has what was last told of a batch's pages."""

Array = npt.NDArray[np.int64]

PATCHES = Patches()


def starts_of(batch: Sequence[TextContext]) -> Array | None:
    """Returns how many tokens of each request are processed, if one is next in all."""
    tokens = [ctx.tokens for ctx in batch]
    windows = [each._processing_range for each in tokens]
    starts = np.array([window.start for window in windows], np.int64)
    ends = np.array([window.end for window in windows], np.int64)
    if not batch or (ends - starts != 1).any():
        return None
    return None if any([each._processing_offset for each in tokens]) else starts


def is_same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    """Says whether two have the same objects, as far as the shorter goes."""
    return all(map(is_, one, other))


def _held(manager: Any, batch: Sequence[TextContext]) -> list[Held] | None:
    """Returns what is remembered of all requests' pages."""
    found = [ctx.__dict__.get(HELD) for ctx in batch]
    for held in found:
        if held is None or held.manager is not manager:
            return None
    return found  # type: ignore[return-value]


def _room(
    manager: Any, batch: Sequence[TextContext]
) -> tuple[Array, Array, list[Held]] | None:
    """Returns, where all requests have room for a token more, where they stand.

    That is how many of their tokens are processed, how many pages the next step reads,
    and what is remembered of them.
    """
    if type(manager) is not JengaKVCacheManager or manager._num_draft_tokens:
        return None
    starts = starts_of(batch)
    if starts is None or not starts.all():
        return None
    held = _held(manager, batch)
    if held is None:
        return None
    pages = starts // manager._block_size + 1
    if (pages > np.array([each.pages for each in held])).any():
        return None
    return starts, pages, held


class _Tables:
    """The pages of a batch, a row a request, as the device was last told of them."""

    def __init__(self, manager: Any, groups: Sequence[Any], columns: int) -> None:
        self._groups = groups
        self._rows: list[Any] = [None] * manager._max_batch_size
        shape = manager._max_batch_size, columns
        self.of_leaves = {group.leaf_id: np.zeros(shape, np.uint32) for group in groups}

    def update(
        self, batch: Sequence[TextContext], pages: Array, held: list[Held]
    ) -> None:
        """Brings the rows of this batch up to date."""
        for each, ctx, needed in zip(held, batch, pages.tolist(), strict=True):
            if each.planned != needed:
                each.plan = tuple(
                    group.forward_blocks([ctx], [needed])[group.leaf_id][0]
                    for group in self._groups
                )
                each.planned = needed
        plans = [each.plan for each in held]
        if is_same(self._rows, plans):
            return
        for at, plan in enumerate(plans):
            if self._rows[at] is plan:
                continue
            self._rows[at] = plan
            for table, ids in zip(self.of_leaves.values(), plan, strict=True):
                table[at, : len(ids)] = ids
                table[at, len(ids) :] = 0


def _tables(manager: Any, columns: int) -> _Tables | None:
    """Returns a manager's, which has at least so many columns."""
    known: dict[int, _Tables | None] = manager.__dict__.setdefault(TABLES, {})
    if columns not in known:
        leaves, groups = manager._leaves, manager._groups
        is_plain = list(leaves) == [group.leaf_id for group in groups.values()] and all(
            type(leaf) is PagedKVLeafRegion for leaf in leaves.values()
        )
        known[columns] = (
            _Tables(manager, list(groups.values()), columns) if is_plain else None
        )
    return known[columns]


# What the device is told of the pages.


@PATCHES.replace(
    JengaKVCacheManager, "_compute_kv_cache_assignments", "17eb058e9d5b4a72"
)
def _assign(assign: Any) -> Any:
    def _compute_kv_cache_assignments(
        self: Any,
        staging: Any,
        *,
        replica_idx: int,
        batch: Sequence[TextContext],
        max_cache_length: int | None = None,
        batch_characteristics: BatchCharacteristics | None = None,
    ) -> Any:
        def by_max() -> Any:
            return assign(
                self,
                staging,
                replica_idx=replica_idx,
                batch=batch,
                max_cache_length=max_cache_length,
                batch_characteristics=batch_characteristics,
            )

        count = len(batch)
        # Without a longest sequence, which graphs have, a table is as wide as a batch
        # needs it.
        if max_cache_length is None or replica_idx or count > self._max_batch_size:
            return by_max()
        found = _room(self, batch)
        if found is None:
            return by_max()
        starts, pages, held = found
        longest = int(starts.max()) + 1
        told = batch_characteristics or BatchCharacteristics(count, 1, longest)
        columns = -(-max_cache_length // self.params.page_size)
        shapes: dict[str, Any] = {}
        for leaf in self._leaves.values():
            shapes |= leaf.staged_input_shapes(count, columns)
        widest = max((shape[-1] for shape, _ in shapes.values()), default=0)
        tables = _tables(self, widest)
        if (
            tables is None
            or shapes.keys() != tables.of_leaves.keys()
            or longest > columns * self.params.page_size
            or told.batch_size < count
            or told.max_prompt_length < 1
            or told.max_cache_valid_length < longest
        ):
            return by_max()
        lengths, lengths_by_device = staging.get(
            f"{replica_idx}/{KV_CACHE_LENGTHS}", (count,)
        )
        lengths.to_numpy()[:] = starts
        tables.update(batch, pages, held)
        devices = range(len(self._devices_per_replica[replica_idx]))
        staged: list[dict[str, Buffer]] = [{} for _ in devices]
        for name, (shape, _) in shapes.items():
            host, by_device = staging.get(f"{replica_idx}/{name}", shape)
            host.to_numpy()[:] = tables.of_leaves[name][:count, : shape[-1]]
            for device in devices:
                staged[device][name] = by_device[device]
        for name, views in self._bound[replica_idx].items():
            for device, view in enumerate(views):
                staged[device][name] = view
        most_prompt, most_cached = build_max_lengths_tensors(
            told.max_prompt_length, told.max_cache_valid_length
        )
        return KVCacheAssignments(
            cache_lengths_by_device=list(lengths_by_device),
            staged_by_device=staged,
            max_prompt_length=most_prompt,
            max_cache_length=most_cached,
            batch_characteristics=told,
        )

    return _compute_kv_cache_assignments


# What the device is told of the tokens.


@PATCHES.replace(
    overlap.OverlapTextGenerationPipeline,
    "_replay_batch_characteristics",
    "8bac4fde244a8c9b",
)
def _characterise(characterise: Any) -> Any:
    def _replay_batch_characteristics(self: Any, inputs: Any) -> BatchCharacteristics:
        if self._spec_decode_state is None and len(inputs.batches) == 1:
            [batch] = inputs.batches
            starts = starts_of(batch)
            if starts is not None and not self._kv_manager.params.num_draft_tokens:
                return BatchCharacteristics(len(batch), 1, int(starts.max()) + 1)
        found: BatchCharacteristics = characterise(self, inputs)
        return found

    return _replay_batch_characteristics


@PATCHES.replace(
    batch_processor, "build_single_replica_ragged_token_arrays", "04b487db3fea1668"
)
def _build(build: Any) -> Any:
    def build_single_replica_ragged_token_arrays(
        batch: Sequence[Any],
    ) -> tuple[np.ndarray, np.ndarray]:
        starts = starts_of(batch)
        if starts is None:
            return build(batch)
        pairs = zip(batch, starts.tolist(), strict=True)
        tokens = [ctx.tokens.array.item(start) for ctx, start in pairs]
        return np.array(tokens, np.int64), np.arange(len(batch) + 1, dtype=np.uint32)

    return build_single_replica_ragged_token_arrays


@PATCHES.replace(
    overlap.RealizeFutureTokenProcessor, "_compute_mappings", "eda39db35f92dfe5"
)
def _mappings(mappings: Any) -> Any:
    def _compute_mappings(self: Any, prev_batch: Any, inputs: Any) -> Any:
        before, now = prev_batch.inputs.flat_batch, inputs.flat_batch
        device = prev_batch.generated_tokens_device.device
        if (
            len(before) != len(now)
            or device.is_host
            or not is_same(before, now)
            or not all([ctx.tokens.generated_length for ctx in now])
        ):
            return mappings(self, prev_batch, inputs)
        known = self.__dict__.setdefault("_mxfp4_mappings", {})
        # They are copied to the device at each step, and written once.
        if len(now) not in known:
            known[len(now)] = mappings(self, prev_batch, inputs)
        return known[len(now)]

    return _compute_mappings


# What the sampler is told of what the requests ask for.


@PATCHES.replace(sampling.SamplerInputs, "create", "47bb5294e749c3f7")
def _sampler_inputs(create: Any) -> Any:
    last: list[Any] = [None, None, None]

    def _create(cls: Any, batch: list[TextContext], device: Any) -> Any:
        asked = [ctx.sampling_params for ctx in batch]
        parameters = (
            [each.temperature for each in asked],
            [each.top_k for each in asked],
            [each.top_p for each in asked],
            [each.min_p for each in asked],
        )
        if last[0] is not device or last[1] != parameters:
            # The device reads them at each step, and nobody writes them again.
            last[:] = device, parameters, create(cls, batch, device)
            return last[2]
        same = last[2]
        seeds = [sampling.request_row_seed(ctx) for ctx in batch]
        seed = sampling._to_pinned_host_buffer(seeds, device=device, dtype=DType.uint64)
        return cls(
            top_k=same.top_k,
            max_k=same.max_k,
            temperature=same.temperature,
            top_p=same.top_p,
            min_top_p=same.min_top_p,
            min_p=same.min_p,
            seed=seed.to(device),
        )

    return _create


@PATCHES.replace(sampling, "_build_min_tokens_masks", "be16805c9d858a22")
def _min_tokens(masks: Any) -> Any:
    def _build_min_tokens_masks(
        batch: list[Any], num_steps: int, device: Any, enable_min_tokens: bool
    ) -> Any:
        if not enable_min_tokens and not any(
            [ctx.sampling_params.min_new_tokens > 0 for ctx in batch]
        ):
            return None
        return masks(batch, num_steps, device, enable_min_tokens)

    return _build_min_tokens_masks


@PATCHES.replace(BatchLabelScorer, "score", "074daf418c35cd79")
def _labels(score: Any) -> Any:
    def _score(self: Any, model_outputs: Any, flat_batch: Sequence[Any]) -> Any:
        if all([getattr(ctx, "label_token_ids", None) is None for ctx in flat_batch]):
            return {}
        return score(self, model_outputs, flat_batch)

    return _score


def _advance(batch: Iterable[TextContext]) -> None:
    """Has each request wait for a token that is to come."""
    for ctx in batch:
        tokens = ctx.tokens
        array, count = tokens.array, tokens._current_length
        if (
            type(ctx) is not TextContext
            or tokens._actively_chunked
            or tokens._processing_offset
            or count >= array.size
            or array.item(count - 1) == FUTURE_TOKEN
        ):
            ctx.update_with_future_token()
            continue
        window = tokens._processing_range
        window.start = window.end
        window.end = end = window.end + 1
        tokens._completion_range.end += 1
        array[count] = FUTURE_TOKEN
        tokens._current_length = count + 1
        if end >= ctx.max_length:
            ctx.status = GenerationStatus.MAXIMUM_LENGTH
        ctx._is_initial_prompt = False


def _record(manager: Any, batch: Iterable[TextContext]) -> None:
    """Has the manager look after the pages of those where there is something to do."""
    for ctx in batch:
        held = ctx.__dict__.get(HELD)
        tokens = ctx.tokens
        if (
            held is None
            or held.manager is not manager
            or not held.low <= tokens._processing_range.start < held.high
            or tokens._current_length > held.until
        ):
            manager.step(ctx)


# The pipeline's part of a step.


@PATCHES.replace(overlap.OverlapTextGenerationPipeline, "_execute", "14945804d2b70b29")
def _run(execute: Any) -> Any:
    def _execute(self: Any, inputs: Any) -> Any:
        batch = inputs.flat_batch
        if (
            not batch
            or self._spec_decode_state is not None
            or self._disable_overlap
            or inputs.enable_log_probs
        ):
            return execute(self, inputs)
        if not self.__dict__.get("_mxfp4_told"):
            self._mxfp4_told = True
            logger.info("Steps are made at once for a batch.")
        begun = time.monotonic()
        model_outputs = self._run_forward(inputs)
        processor, bitmask = self._create_sampling_processor(batch)
        outputs: dict[RequestID, TextGenerationOutput] = {}
        before = self._prev_batch
        if before is not None:
            made = before.sync_and_process_outputs(
                curr_flat_batch=batch, bitmask=bitmask, sampling_processor=processor
            )
            self._record_completed_batch_stats(
                before, made.spec_decode_metrics, sync_monotonic=time.monotonic()
            )
            outputs = made.output_dict
            self._prev_batch = None
        started = self._sample_logits(inputs, model_outputs, processor)
        _advance(batch)
        _record(self._kv_manager, batch)
        started.enqueue_monotonic = begun
        self._prev_batch = started
        return outputs

    return _execute


@PATCHES.replace(overlap, "update_context_and_prepare_responses", "2015ba00e69a56d8")
def _respond(update: Any) -> Any:
    def update_context_and_prepare_responses(
        generated_tokens_host: npt.NDArray[np.int32],
        flat_batch: list[Any],
        batch_log_probabilities: Any = None,
        enable_log_probs: bool = False,
        overwrite_future: bool = False,
    ) -> dict[RequestID, TextGenerationOutput]:
        if enable_log_probs or not overwrite_future:
            return update(
                generated_tokens_host,
                flat_batch,
                batch_log_probabilities,
                enable_log_probs,
                overwrite_future,
            )
        made: dict[RequestID, TextGenerationOutput] = {}
        column = generated_tokens_host[:, 0].tolist()
        for ctx, token in zip(flat_batch, column, strict=True):
            tokens = ctx.tokens
            array, last = tokens.array, tokens._current_length - 1
            streamed, limit = tokens._completion_range, ctx.vocab_size
            eos = ctx.eos_tracker
            if (
                type(ctx) is not TextContext
                or last < tokens._prompt_length
                or array.item(last) != FUTURE_TOKEN
                or streamed.start != last
                or streamed.end != last + 1
                or token < 0
                or (limit is not None and token >= limit)
                or ctx._log_probabilities_data
                or eos.eos_sequences
            ):
                if tokens.generated_length:
                    ctx.realize_future_token(new_token=token, log_probabilities=None)
                output = ctx.to_generation_output()
                if output.tokens:
                    made[ctx.request_id] = output
                continue
            array[last] = token
            if token in eos.eos_token_ids:
                ctx.status = GenerationStatus.END_OF_SEQUENCE
            streamed.start = last + 1
            made[ctx.request_id] = TextGenerationOutput(
                request_id=ctx.request_id,
                tokens=[token],
                final_status=ctx.status,
                log_probabilities=None,
                num_cached_tokens=ctx.cached_prefix_length,
            )
        return made

    return update_context_and_prepare_responses


# The scheduler's part of a step.


@PATCHES.replace(TextBatchConstructor, "_add_tg_requests", "b0141ab241a09631")
def _add(add: Any) -> Any:
    def _add_tg_requests(self: Any, batch: Any, replica_idx: int) -> None:
        requests = self.replicas[replica_idx].tg_reqs
        budgets, count = batch.token_budget.token_budgets, len(requests)
        [budget, *others] = budgets
        if (
            len(batch)
            or self._lora_manager is not None
            or count > self.scheduler_config.max_batch_size
            or others
            or type(budget) is not ActiveTokenBudget
            or budget.used
            # With less, the last request would end the batch, or not be in it.
            or budget.capacity <= count
            or RequestType.TG not in budget.applicable_types
            or budget.active_request_type is RequestType.MIXED
        ):
            add(self, batch, replica_idx)
            return
        # As the requests came: they are never put elsewhere in their order.
        contexts = list(dict.values(requests))
        if _room(self.kv_cache, contexts) is None:
            add(self, batch, replica_idx)
            return
        self.kv_cache._metrics.input_tokens += count
        # Only the order of its values counts.
        batch.batch.update(enumerate(contexts))
        budget.used = count
        budget.active_request_type = RequestType.TG

    return _add_tg_requests


@PATCHES.replace(TextBatchConstructor, "advance_requests", "40669984b23d7412")
def _advance_batch(advance: Any) -> Any:
    def advance_requests(self: Any, inputs: Any) -> None:
        if len(inputs.batches) == len(self.replicas) == 1:
            [batch], requests = inputs.batches, self.replicas[0].tg_reqs
            # All of them generate, and go on generating.
            if (
                len(batch) == len(requests)
                and is_same(batch, dict.values(requests))
                and all([ctx.tokens.generated_length for ctx in batch])
            ):
                self._release_data_parallel_padding()
                return
        advance(self, inputs)

    return advance_requests


@PATCHES.replace(TokenGenerationScheduler, "_schedule", "54086129c9f0d7ae")
def _make_schedule(schedule: Any) -> Any:
    def _schedule(self: Any, inputs: Any) -> int:
        if (
            self._tracing
            or self._batch_spans_enabled
            or self._kernel_capture is not None
            or text_generation_scheduler._tracing_enabled()
        ):
            return schedule(self, inputs)
        batch_id = self._batch_counter
        self._batch_counter += 1
        request_context.set_batch_id(batch_id)
        if inputs.batch_type == BatchType.CE:
            request_burst("prefill")
        try:
            responses = self.pipeline.execute(inputs)
        finally:
            request_context.clear_batch_id()
        constructor = self.batch_constructor
        results: dict[RequestID, Any] = {}
        ended = []
        for request_id, response in responses.items():
            # There may be a token after a request's last.
            if constructor.contains(request_id):
                is_done = response.final_status is not ACTIVE
                if is_done:
                    ended.append(request_id)
                results[request_id] = SchedulerResult(is_done, response, None, batch_id)
        constructor.advance_requests(inputs)
        for request_id in ended:
            constructor.release_request(request_id)
        if results:
            self.response_queue.put_nowait(results)
        return len(ended)

    return _schedule
