"""Refuses what would be answered with less than was asked for.

MAX takes a request for several choices (`n`) and sends one, without a word. Here such a
request is a bad one, with status 400, as OpenAI answers what it does not support.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, create_model, field_validator

NAMES = "CreateChatCompletionRequest", "CreateCompletionRequest"
"""What MAX's routes read requests as."""


def install() -> None:
    """Does so in this process from now on."""
    from max.serve.router import openai_routes

    for name in NAMES:
        request = getattr(openai_routes, name)
        if request.__module__ != __name__:
            setattr(openai_routes, name, with_one_choice(request))


def with_one_choice(request: type[BaseModel]) -> type[BaseModel]:
    """Returns a request like this one, of which `n` is at most 1."""

    def check(cls: type, n: Any) -> Any:
        if n is not None and n > 1:
            raise ValueError(
                f"{n} choices were asked for, and only one is made; send {n} requests"
            )
        return n

    validators: Any = {"check_choices": field_validator("n", check_fields=False)(check)}
    return create_model(
        request.__name__,
        __base__=request,
        __module__=__name__,
        __validators__=validators,
    )
