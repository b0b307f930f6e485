"""Answers what is asked of a request's state most often without building anything.

At every step MAX asks each request dozens of times for its id's hash, how many tokens
it has, and whether its last token is yet to come. Each time it builds a tuple or a view
of an array for that, which only its length, or one item, is taken from.
"""

from __future__ import annotations

from typing import Any

from max.pipelines.context import FUTURE_TOKEN, TextGenerationOutput
from max.pipelines.context.context import TextContext
from max.pipelines.context.tokens import TokenBuffer
from max.pipelines.modeling.types import BatchType, RequestID, TextGenerationInputs

from mxfp4.max_patches.patch import Patches

PATCHES = Patches()


@PATCHES.replace(RequestID, "__hash__", "e00e8a0449002d31")
def _hash(_: Any) -> Any:
    def request_hash(self: Any) -> int:
        return hash(self.value)

    return request_hash


@PATCHES.replace(TokenBuffer, "__len__", "97ca7fa4a99042ff")
def _len(_: Any) -> Any:
    def length(self: Any) -> int:
        count: int = self._current_length
        return count

    return length


@PATCHES.replace(TokenBuffer, "active_length", "e7224abe49347dde")
def _active_length(_: Any) -> Any:
    def active_length(self: Any) -> int:
        window = self._processing_range
        count: int = window.end - window.start
        return (count if count > 0 else 0) - self._processing_offset  # type: ignore[no-any-return]

    return active_length


@PATCHES.replace(TokenBuffer, "advance_with_token", "71cbe3c5dc6053c8")
def _advance_with_token(advance: Any) -> Any:
    def advance_with_token(self: Any, token: int) -> None:
        if self._actively_chunked or self._processing_offset:
            advance(self, token)
            return
        window = self._processing_range
        window.start = window.end
        window.end += 1
        self._completion_range.end += 1
        count = self._current_length
        if count >= self.array.size:
            self._expand_capacity()
        self.array[count] = token
        self._current_length = count + 1

    return advance_with_token


@PATCHES.replace(TextContext, "_has_pending_future_token", "282090e4bb17fe6a")
def _pending(_: Any) -> Any:
    def _has_pending_future_token(self: Any) -> bool:
        tokens = self.tokens
        count = tokens._current_length
        if count <= tokens._prompt_length:
            return False
        pending: bool = tokens.array.item(count - 1) == FUTURE_TOKEN
        return pending

    return _has_pending_future_token


@PATCHES.replace(TextContext, "to_generation_output", "462ec220c661fec2")
def _to_generation_output(output: Any) -> Any:
    def to_generation_output(self: Any) -> TextGenerationOutput:
        tokens = self.tokens
        window = tokens._completion_range
        start = window.start
        count = window.end - start - (1 if self._has_pending_future_token() else 0)
        if count != 1 or self._log_probabilities_data:
            return output(self)
        token = tokens.array.item(start)
        limit = self.vocab_size
        if token < 0 or (limit is not None and token >= limit):
            # MAX says what is wrong.
            return output(self)
        window.start = start + 1
        return TextGenerationOutput(
            request_id=self.request_id,
            tokens=[token],
            final_status=self.status,
            log_probabilities=None,
            num_cached_tokens=self.cached_prefix_length,
        )

    return to_generation_output


@PATCHES.replace(TextGenerationInputs, "__post_init__", "50364045da70b192")
def _post_init(_: Any) -> Any:
    def count(self: Any) -> None:
        self.input_tokens = self.context_tokens = 0
        self.per_replica_input_tokens = []
        self.per_replica_context_tokens = []
        self.batch_type = BatchType.TG
        for batch in self.batches:
            buffers = [ctx.tokens for ctx in batch]
            windows = [tokens._processing_range for tokens in buffers]
            if not any([getattr(ctx, "_is_padding_ctx", False) for ctx in batch]):
                contexts = sum([window.start for window in windows])
                inputs = sum([window.end for window in windows]) - contexts
                inputs -= sum([tokens._processing_offset for tokens in buffers])
                if not all([tokens.generated_length for tokens in buffers]):
                    self.batch_type = BatchType.CE
                self.per_replica_input_tokens.append(inputs)
                self.per_replica_context_tokens.append(contexts)
                self.input_tokens += inputs
                self.context_tokens += contexts
                continue
            inputs = contexts = padding_inputs = padding_contexts = 0
            for ctx in batch:
                tokens = ctx.tokens
                active, processed = tokens.active_length, tokens.processed_length
                if getattr(ctx, "_is_padding_ctx", False):
                    padding_inputs += active
                    padding_contexts += processed
                else:
                    inputs += active
                    contexts += processed
                if tokens.generated_length == 0:
                    self.batch_type = BatchType.CE
            self.per_replica_input_tokens.append(inputs)
            self.per_replica_context_tokens.append(contexts)
            self.input_tokens += inputs + padding_inputs
            self.context_tokens += contexts + padding_contexts

    return count
