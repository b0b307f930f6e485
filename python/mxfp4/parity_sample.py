"""What a server answered to one prompt, for `mxfp4.parity`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """What the server said about one prompt."""

    prompt: list[int]
    tokens: list[int]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
