"""Packs what MAX's worker made in a step for the front end."""

from __future__ import annotations

from typing import Any

from max.pipelines.context import GenerationStatus, LogProbabilities

from mxfp4.engine import wire

FINISH = {
    GenerationStatus.END_OF_SEQUENCE: "stop",
    GenerationStatus.MAXIMUM_LENGTH: "length",
    GenerationStatus.CANCELLED: "cancelled",
}


class Live:
    """A request that has no whole answer yet."""

    __slots__ = ("begun", "id", "logprobs", "plain")

    def __init__(self, id: int, logprobs: int | None) -> None:
        self.id = id
        self.logprobs = logprobs
        self.begun = False
        self.plain = False
        """Whether its next token needs no row."""


class Steps:
    """The requests that are live, and what goes out for them."""

    def __init__(self) -> None:
        self.live: dict[str, Live] = {}
        """By their names in MAX."""
        self.strays: list[str] = []
        """Names that came and are not live: their cancellation was not seen."""
        self.tokens = 0
        """Tokens that were handed out."""

    def begin(self, id: int, logprobs: int | None) -> str:
        """Adds a request; returns its name in MAX."""
        name = str(id)
        self.live[name] = Live(id, logprobs)
        return name

    def pack(self, results: dict[Any, Any]) -> tuple[wire.Step, list[wire.Error]]:
        """Returns what to send of a step's results.

        Args:
            results: MAX's results by its request ids.
        """
        live = self.live
        ids: list[int] = []
        tokens: list[int] = []
        rows: list[wire.Row] = []
        errors: list[wire.Error] = []
        for request_id, result in results.items():
            request = live.get(request_id.value)
            if request is None:
                if not result.is_done:
                    self.strays.append(request_id.value)
                continue
            output = result.result
            if result.is_done:
                del live[request_id.value]
            elif output is None:
                continue
            elif request.plain and len(output.tokens) == 1:
                ids.append(request.id)
                tokens.append(output.tokens[0])
                continue
            if result.error is not None:
                errors.append(wire.Error(request.id, "invalid", result.error))
                continue
            row = _row(request, result)
            if row.tokens or row.finish:
                self.tokens += len(row.tokens)
                rows.append(row)
        self.tokens += len(ids)
        return wire.Step(ids, tokens, rows), errors


def _row(request: Live, result: Any) -> wire.Row:
    output = result.result
    row = wire.Row(request.id)
    if output is None:
        row.finish = "cancelled"
        return row
    row.tokens = output.tokens
    if result.is_done:
        row.finish = FINISH.get(output.final_status, "stop")
    if not request.begun and output.tokens:
        request.begun = True
        request.plain = request.logprobs is None
        row.cached = output.num_cached_tokens
    if request.logprobs is not None and output.log_probabilities:
        row.logprobs = [
            found
            for each in output.log_probabilities
            for found in _logprobs(each, request.logprobs)
        ]
    return row


def _logprobs(
    found: LogProbabilities, wanted: int
) -> list[tuple[int, float, list[tuple[int, float]]]]:
    """Returns each token's own and the likeliest ones'.

    MAX puts the drawn token among the likeliest, whether or not it is one.
    """
    places = zip(
        found.sampled_token_ids,
        found.token_log_probabilities,
        found.top_log_probabilities,
        strict=True,
    )
    return [
        (
            token,
            own,
            sorted(top.items(), key=lambda item: item[1], reverse=True)[:wanted],
        )
        for token, own, top in places
    ]
