"""Hands each piece of a streamed answer to the client without a detour.

MAX looks at every request in a function of Starlette's "http" middleware. For that
Starlette runs the rest of the server in a task of its own and passes every piece of
the answer through a queue to another task, which costs more than all that MAX itself
does for a token. MAX's function wants to see a response begin, and no more; so here
the rest of the server writes to the client directly, once it has.

Once a body has begun its pieces also pass by what has watched for its beginning. For
the same reason nothing watches how long the sending of a piece takes, which MAX
sets no limit to.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from sse_starlette.sse import EventSourceResponse, ensure_bytes
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION = "max.serve.request"
"""The module of MAX's function. Another one's may want to read or change bodies."""

START = "http.response.start"
BODY = "http.response.body"

WATCHERS = {
    (
        "starlette._exception_handler",
        "wrap_app_handling_exceptions.<locals>.wrapped_app.<locals>.sender",
    ),
    ("starlette.middleware.errors", "ServerErrorMiddleware.__call__.<locals>._send"),
}
"""Functions through which every piece of a body goes, for the sake of its start."""


class _Direct(Response):
    """A response whose body another task writes.

    That task is held at the beginning until the headers, which may be changed until
    then, are sent.
    """

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        # Not the base class's: there is neither a body nor headers yet.
        self.background = None
        self._began = asyncio.Event()
        self._open = asyncio.Event()
        self._send: Send | None = None
        self._task = asyncio.ensure_future(app(scope, receive, self._take))

    async def _take(self, message: Message) -> None:
        if self._send is not None:
            await self._send(message)
            return
        if message["type"] == START and not self._began.is_set():
            self.status_code = message["status"]
            self.raw_headers = list(message.get("headers", []))
            self._began.set()
            return
        await self._open.wait()
        assert self._send is not None
        await self._send(message)

    async def begin(self) -> None:
        """Waits until the status and the headers are known."""
        began = asyncio.ensure_future(self._began.wait())
        try:
            await asyncio.wait({began, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            began.cancel()
        if not self._began.is_set():
            # It failed, which is raised here, or wrote nothing.
            await self._task
            raise RuntimeError("No response returned.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": START} | start)
        self._send = send
        self._open.set()
        await self._task

    async def end(self) -> None:
        """Ends the other task, where it has not ended itself."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._task.cancelled():
            # Told that it was seen; who awaited the task has raised it.
            self._task.exception()


def as_event(data: Any, separator: str) -> bytes:
    """Returns what `ensure_bytes` does, sooner for one line of text."""
    if type(data) is not str or "\n" in data or "\r" in data:
        piece: bytes = ensure_bytes(data, separator)
        return piece
    return f"data: {data}{separator}{separator}".encode()


def _past_watchers(send: Send) -> Send:
    """Returns where `send` hands the pieces of a body that has begun.

    On the way are functions of Starlette's that look for a response's start, and have
    seen it. Any other function is where this ends.
    """
    while True:
        following: Any = None
        if getattr(send, "__func__", None) is _Direct._take:
            following = send.__self__._send  # type: ignore[attr-defined]
        elif _only_watches(send):
            at = send.__code__.co_freevars.index("send")  # type: ignore[attr-defined]
            following = send.__closure__[at].cell_contents  # type: ignore[attr-defined]
        if following is None:
            return send
        send = following


def _only_watches(send: Send) -> bool:
    """Says whether a function does no more than to tell whether a response began."""
    code = getattr(send, "__code__", None)
    return (
        code is not None
        and (send.__module__, send.__qualname__) in WATCHERS  # type: ignore[attr-defined]
        and set(code.co_freevars) == {"send", "response_started"}
        and not code.co_names
        and set(code.co_consts) <= {None, True, "type", START}
    )


def install() -> None:
    """Takes the detour out of this process's middleware.

    With tracing MAX wants to know when a body ends, so all stays as it is.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
        return
    detour = BaseHTTPMiddleware.__call__
    if getattr(detour, "__module__", None) == __name__:
        return

    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        module = getattr(self.dispatch_func, "__module__", None)
        if scope["type"] != "http" or module != SESSION:
            await detour(self, scope, receive, send)
            return
        made: list[_Direct] = []

        async def call_next(request: Request) -> Response:
            response = _Direct(self.app, scope, receive)
            made.append(response)
            await response.begin()
            return response

        try:
            response = await self.dispatch_func(Request(scope, receive), call_next)
            await response(scope, receive, send)
        finally:
            for response in made:
                await response.end()

    watched = EventSourceResponse.stream_response

    async def stream_response(self: Any, send: Send) -> None:
        if self.send_timeout is not None:
            await watched(self, send)
            return
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": START} | start)
        straight: Send | None = None
        async for data in self.body_iterator:
            piece = as_event(data, self.sep)
            await (straight or send)({"type": BODY, "body": piece, "more_body": True})
            if straight is None:
                straight = _past_watchers(send)
        async with self._send_lock:
            self.active = False
            await send({"type": BODY, "body": b"", "more_body": False})

    BaseHTTPMiddleware.__call__ = call  # type: ignore[method-assign]
    EventSourceResponse.stream_response = stream_response  # type: ignore[method-assign]
