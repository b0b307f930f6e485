"""Makes MAX's contexts of what the front end asks."""

from __future__ import annotations

import math
import secrets
from typing import Any

from max.pipelines.context import (
    SamplingParams,
    SamplingParamsInput,
    TextContext,
)
from max.pipelines.context.context import TextGenerationResponseFormat
from max.pipelines.context.exceptions import InputError
from max.pipelines.modeling.types import RequestID, TextGenerationRequest

from mxfp4.engine import wire
from mxfp4.max_patches import bounds, registry

MOST_THINKING = 999_999_999
"""The largest budget; more than any model has room for."""

TAG = "grammar"
"""MAX's name of a response format that brings its own grammar."""


class Refused(Exception):
    """A request is at fault; the text says what of it."""


class Contexts:
    """Makes contexts for one model."""

    def __init__(self, tokenizer: Any, config: Any, hello: wire.Hello) -> None:
        self._tokenizer = tokenizer
        self._hello = hello
        # MAX reads files and compares them for these, each time.
        self._defaults = config.model.sampling_params_defaults
        runtime = config.runtime
        self._server_defaults = {
            name: getattr(runtime, name)
            for name in ("temperature", "top_k", "thinking_temperature")
        }

    async def make(self, name: str, request: wire.Request) -> TextContext:
        """Returns the context of a request that is called `name` in MAX.

        Raises `Refused` where the request is at fault.
        """
        self.check(request)
        try:
            context = await self._tokenizer.new_context(self._request(name, request))
        except (InputError, ValueError) as error:
            raise Refused(str(error)) from error
        # The tokenizer may know fewer tokens than the head has rows, and MAX's worker
        # ends at a token beyond this.
        context.vocab_size = self._hello.vocabulary
        if request.ignore_eos and request.stop_token_ids:
            # MAX ignores those, too.
            context.eos_tracker.eos_token_ids.update(request.stop_token_ids)
        return context  # type: ignore[no-any-return]

    def check(self, request: wire.Request) -> None:
        """Refuses what MAX would answer wrongly, or not survive."""
        hello = self._hello
        length = len(request.prompt)
        if not length:
            raise Refused("the prompt is empty")
        if length >= hello.max_length:
            raise Refused(
                f"the prompt has {length} tokens, which leaves no room for an answer: "
                f"the model takes {hello.max_length} together"
            )
        highest = max(request.prompt)
        if highest >= hello.vocabulary:
            raise Refused(
                f"the prompt has token {highest}; the model has {hello.vocabulary}"
            )
        if request.max_tokens == 0:
            raise Refused("max_tokens must be at least 1")
        if request.min_tokens and not hello.min_tokens:
            raise Refused("min_tokens needs the server's option --enable-min-tokens")
        if request.logprobs is not None and request.logprobs > hello.max_logprobs:
            raise Refused(
                f"logprobs is {request.logprobs}, and may be at most "
                f"{hello.max_logprobs}"
            )
        _check_grammar(request, hello)
        if not hello.penalties and _has_penalties(request):
            raise Refused("penalties need the server's option --enable-penalties")
        # MAX looks at the others.
        for value in (request.top_p, request.min_p):
            if value is not None and not math.isfinite(value):
                raise Refused(f"top_p and min_p must be in [0.0, 1.0], was {value}")

    def _request(self, name: str, request: wire.Request) -> TextGenerationRequest:
        return TextGenerationRequest(
            request_id=RequestID(name),
            model_name=self._hello.model,
            prompt=request.prompt,
            sampling_params=self._sampling(request),
            # Without a likeliest token MAX computes nothing.
            logprobs=0 if request.logprobs is None else max(request.logprobs, 1),
            response_format=_format(request),
        )

    def _sampling(self, request: wire.Request) -> SamplingParams:
        server = self._server_defaults
        seed = request.seed
        return SamplingParams.from_input_and_generation_config(
            SamplingParamsInput(
                max_new_tokens=request.max_tokens,
                min_new_tokens=request.min_tokens,
                # After a grammar's end nothing but an end token is allowed.
                ignore_eos=request.ignore_eos and request.grammar is None,
                temperature=_first(request.temperature, server["temperature"]),
                thinking_temperature=server["thinking_temperature"],
                top_p=request.top_p,
                top_k=_first(request.top_k, server["top_k"]),
                min_p=request.min_p,
                seed=secrets.randbits(63) if seed is None else seed,
                frequency_penalty=request.frequency_penalty,
                presence_penalty=request.presence_penalty,
                repetition_penalty=request.repetition_penalty,
                stop_token_ids=request.stop_token_ids or None,
            ),
            sampling_params_defaults=self._defaults,
        )


def _has_penalties(request: wire.Request) -> bool:
    return bool(
        request.frequency_penalty
        or request.presence_penalty
        or (request.repetition_penalty or 1.0) != 1.0
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _check_grammar(request: wire.Request, hello: wire.Hello) -> None:
    budget = request.thinking_token_budget
    if request.grammar is None:
        if budget is not None:
            raise Refused("thinking_token_budget needs a grammar")
        return
    if not hello.grammar:
        raise Refused("grammars are not supported by this server")
    if request.min_tokens:
        # Where a grammar ends no token would be left.
        raise Refused("min_tokens cannot be had together with a grammar")
    if budget is not None and budget > MOST_THINKING:
        raise Refused(f"thinking_token_budget may be at most {MOST_THINKING}")
    if budget is not None and not registry.is_applied("bounds"):
        raise Refused("thinking_token_budget is for models of mxfp4.gpt_oss")


def _format(request: wire.Request) -> TextGenerationResponseFormat | None:
    grammar, budget = request.grammar, request.thinking_token_budget
    if grammar is None:
        return None
    if budget is not None:
        grammar = bounds.with_budget(grammar, budget)
    return TextGenerationResponseFormat(
        type=TAG, grammar=grammar, grammar_enforced=True, tools_forced=True
    )
