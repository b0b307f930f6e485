"""Tells the device only those rows of a batch's masks that a grammar has a say in.

A request with a grammar may go on with some tokens only; a mask of one bit a token says
which. For a batch with one such request MAX makes, and copies to the device at each
step, the masks of all of its requests: 12.9 MB at 512. Here they stay on the device. A
row that needs a mask is filled and copied when its request's last token is known, right
before the sampler runs, and is all ones again when its request has left.

A batch without a grammar is sampled without masks, as ever.

Where a grammar has come to its end, or has been left, a row allows end tokens alone:
what was asked to keep to a grammar never goes on without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
from max.driver import Buffer, Device, Usage
from max.dtype import DType
from max.pipelines.lib.pipeline_variants import overlap_text_generation as overlap
from max.pipelines.lib.pipeline_variants.structured_output_backend import (
    XgrammarMatcher,
)
from max.pipelines.sampling.sampling_logits_processor import FusedSamplingProcessor

from mxfp4.max_patches.bounds import BoundedMatcher
from mxfp4.max_patches.patch import Patches

MASKS = "_mxfp4_masks"
"""Where a pipeline has its masks."""

BITS = 32
"""Tokens of a word."""

SHARE = 8
"""Rows that are worth a thread: to wake one takes about as long as to fill a row."""

THREADS = min(6, len(os.sched_getaffinity(0)) // 2)
"""Threads that fill masks beside the worker's."""

Row = npt.NDArray[np.int32]


def constrained(batch: Sequence[Any]) -> list[int]:
    """Returns the rows of a batch whose tokens are chosen by a grammar."""
    return [
        row
        for row, context in enumerate(batch)
        if context.grammar is not None or context.json_schema is not None
    ]


def runs(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yields the first and the end of each run of rows that follow one another."""
    first = end = -1
    for row in sorted(rows):
        if row != end:
            if first >= 0:
                yield first, end
            first = row
        end = row + 1
    if first >= 0:
        yield first, end


class Threads:
    """Does the same with many things, for the most part without Python's lock."""

    def __init__(self, most: int = THREADS) -> None:
        self._most = most
        # An executor's futures cost a step of many requests a tenth of a millisecond.
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for _ in range(most):
            Thread(target=self._work, name="mxfp4-masks", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._tasks.get()()

    def each(self, work: Callable[[Any], None], things: Sequence[Any]) -> None:
        """Returns when all are done, some of them by this thread.

        An error is raised when nothing works any more.
        """
        # One may take a thousand times as long as another: each thread takes the next
        # one that is left.
        left = list(things)
        at_work: list[None] = []
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def run() -> None:
            while True:
                try:
                    thing = left.pop()
                except IndexError:
                    return
                work(thing)

        def help_out() -> None:
            # Who comes when nothing is left has not to be waited for.
            at_work.append(None)
            error = None
            try:
                run()
            except BaseException as raised:
                error = raised
                left.clear()
            ended.put(error)

        for _ in range(min(self._most, len(left) // SHARE)):
            self._tasks.put(help_out)
        try:
            run()
        finally:
            left.clear()
            errors = [ended.get() for _ in range(len(at_work))]
        for error in errors:
            if error is not None:
                raise error


@cache
def threads() -> Threads:
    """Returns those of this process, which begin at the first call."""
    return Threads()


class Masks:
    """The masks of a pipeline's batches, on the device."""

    def __init__(self, device: Device, rows: int, vocabulary: int, width: int) -> None:
        """All rows allow all tokens.

        Args:
            device: The sampler's.
            rows: The most requests of a batch.
            vocabulary: Tokens that a grammar knows.
            width: Logits of a row, of which the sampler leaves out those beyond.
        """
        # The kernel reads a bit for each logit.
        shape = rows, -(-max(width, vocabulary) // BITS)
        staging = None if device.is_host else Usage.STAGING | Usage.UNTRACKED
        kinds = {} if staging is None else {"usage": staging}
        self._host = Buffer(shape=shape, dtype=DType.int32, device=device, **kinds)
        # On the host what is written is there at once, and nothing is copied.
        self._device = self._host
        if not device.is_host:
            self._device = Buffer(shape=shape, dtype=DType.int32, device=device)
        self._views: dict[int, Buffer] = {}
        self.rows = rows
        self.width = width
        words = -(-vocabulary // BITS)
        table = self._host.to_numpy()
        table[:] = -1
        self._rows: list[Row] = [row[:words].reshape(1, words) for row in table]
        if self._device is not self._host:
            self._device.inplace_copy_from(self._host)
        self._masked: set[int] = set()

    def tell(self, batch: Sequence[Any], rows: Sequence[int], helper: Any) -> Buffer:
        """Has the device know the masks of a batch, of which `rows` have a grammar.

        The last step's tokens must have arrived: only then is what was copied for it
        no longer read.
        """
        changed = self._masked.difference(rows)
        for row in changed:
            self._rows[row][:] = -1
        contexts = [batch[row] for row in rows]
        fill_all(helper, contexts, [self._rows[row] for row in rows], threads())
        changed.update(rows)
        self._masked = set(rows)
        is_copied = self._device is not self._host
        for first, end in runs(changed if is_copied else ()):
            part = slice(first, end), slice(None)
            self._device[part].inplace_copy_from(self._host[part])
        count = len(batch)
        if count not in self._views:
            self._views[count] = self._device[slice(count), slice(None)]
        return self._views[count]


def fill(helper: Any, context: Any, row: Row) -> None:
    """Writes which tokens a request may go on with."""
    matcher = context.matcher
    if context.grammar_enforced and (
        not matcher.is_stopped() or matcher.is_accepting()
    ):
        helper.backend.fill_next_token_bitmask(matcher, row, 0)
    elif context.grammar_state.tools_forced:
        row[:] = 0
        for token in matcher._matcher.stop_token_ids:
            word, bit = divmod(token, BITS)
            row[0, word] |= np.int32(np.uint32(1 << bit).view(np.int32))
    else:
        # Its grammar holds for parts of the answer, and not here.
        row[:] = -1


def fill_all(
    helper: Any, contexts: Iterable[Any], rows: Iterable[Row], threads: Threads
) -> None:
    """Does so for many, of which xgrammar's part is left to threads.

    It is all that they do: a thread that wants Python's lock while another has it
    sleeps, and to be woken takes as long as to fill a row.
    """
    xgrammars: list[tuple[Callable[[Row, int], Any], Row]] = []
    bounded: list[tuple[BoundedMatcher, Row]] = []
    for context, row in zip(contexts, rows, strict=True):
        matcher = context.matcher
        kind = type(matcher)
        if (
            kind not in (XgrammarMatcher, BoundedMatcher)
            or not context.grammar_enforced
            or matcher.is_stopped()
        ):
            fill(helper, context, row)
            continue
        xgrammars.append((matcher._matcher.fill_next_token_bitmask, row))
        if kind is BoundedMatcher:
            bounded.append((matcher, row))
    threads.each(_fill_by_xgrammar, xgrammars)
    for matcher, row in bounded:
        matcher.narrow(row[0])


def _fill_by_xgrammar(task: tuple[Callable[[Row, int], Any], Row]) -> None:
    fill_one, row = task
    fill_one(row, 0)


class MaskedSampling(FusedSamplingProcessor):
    """Samples a batch of which some requests have a grammar."""

    def __init__(
        self, pipeline: Any, batch: list[Any], rows: list[int], **arguments: Any
    ) -> None:
        super().__init__(
            sampler=pipeline._sampler_with_bitmask, context_batch=batch, **arguments
        )
        self._pipeline = pipeline
        self._batch = batch
        self._constrained = rows

    def __call__(self, inputs: Any) -> None:
        rows, width = len(self._batch), int(inputs.logits.shape[1])
        masks = masks_of(self._pipeline, rows, width)
        helper = self._pipeline._structured_output
        self.tensor_bitmask = masks.tell(self._batch, self._constrained, helper)
        super().__call__(inputs)


def masks_of(pipeline: Any, rows: int, width: int) -> Masks:
    """Returns a pipeline's masks, which have at least so many rows."""
    masks: Masks | None = pipeline.__dict__.get(MASKS)
    if masks is None or masks.width != width or masks.rows < rows:
        rows = max(rows, pipeline._max_batch_size)
        masks = Masks(pipeline._sampler_device, rows, pipeline.vocab_size, width)
        setattr(pipeline, MASKS, masks)
    return masks


PATCHES = Patches()


@PATCHES.replace(
    overlap.OverlapTextGenerationPipeline, "initialize_bitmask", "12bdc4209f9b7eef"
)
def _initialize_bitmask(_: Any) -> Any:
    def initialize_bitmask(self: Any, batch: list[Any]) -> None:
        """Makes no masks: those that are needed are made later."""

    return initialize_bitmask


@PATCHES.replace(
    overlap.OverlapTextGenerationPipeline,
    "_create_sampling_processor",
    "05aed6c735b21739",
)
def _create(create: Any) -> Any:
    def _create_sampling_processor(self: Any, batch: list[Any]) -> tuple[Any, None]:
        rows = constrained(batch) if self._sampler_with_bitmask is not None else []
        if not rows:
            return create(self, batch)  # type: ignore[no-any-return]
        helper = self._structured_output
        for row in rows:
            if batch[row].matcher is None:
                # The scheduler has it compiled before; this is MAX's way without.
                helper.update_context(batch[row], helper.allocate_bitmask(1), 0)
        processor = MaskedSampling(
            self,
            batch,
            rows,
            pipeline_config=self._pipeline_config,
            device=self._sampler_device,
            pinned_new_tokens=self._pinned_new_tokens,
            identity_logit_offsets=self._identity_logit_offsets,
        )
        return processor, None

    return _create_sampling_processor
