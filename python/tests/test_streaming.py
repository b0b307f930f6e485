"""Streams reach the client as they did, without the middleware's detour."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sse_starlette.sse import AppStatus, EventSourceResponse, ensure_bytes
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mxfp4.gpt_oss import streaming

Message = dict[str, Any]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the detour back afterwards."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    for owner, name in [
        (BaseHTTPMiddleware, "__call__"),
        (EventSourceResponse, "stream_response"),
    ]:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    # Made in the loop of the test before.
    monkeypatch.setattr(AppStatus, "should_exit_event", None)
    streaming.install()


async def session(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """What MAX's function does: a header, and an answer where there is none."""
    try:
        response = await call_next(request)
    except ValueError:
        return PlainTextResponse("failed", 500)
    response.headers["X-Request-ID"] = "7"
    return response


session.__module__ = streaming.SESSION


class Server:
    """A server of one page, asked without a socket."""

    def __init__(self, page: Callable[[Request], Awaitable[Response]]) -> None:
        self.app = Starlette(routes=[Route("/", page)])
        self.app.add_middleware(BaseHTTPMiddleware, dispatch=session)
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def ask(self) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [],
        }
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self.sent.append(message)

        await self.app(scope, receive, send)

    @property
    def bodies(self) -> list[bytes]:
        return [m["body"] for m in self.sent if m["type"] == streaming.BODY]

    @property
    def head(self) -> tuple[int, dict[bytes, bytes]]:
        [start] = [m for m in self.sent if m["type"] == "http.response.start"]
        return start["status"], dict(start["headers"])


def ask(page: Callable[[Request], Awaitable[Response]]) -> Server:
    async def run() -> Server:
        server = Server(page)
        await asyncio.wait_for(server.ask(), 30)
        return server

    return asyncio.run(run())


def test_a_stream_comes_piece_by_piece_with_the_function_s_header() -> None:
    tasks = set()

    async def pieces() -> AsyncIterator[str]:
        for piece in "abc":
            tasks.add(asyncio.current_task())
            yield piece

    async def page(request: Request) -> Response:
        return EventSourceResponse(pieces())

    server = ask(page)
    status, headers = server.head
    assert status == 200
    assert headers[b"x-request-id"] == b"7"
    assert headers[b"content-type"].startswith(b"text/event-stream")
    wanted = [b"data: a\r\n\r\n", b"data: b\r\n\r\n", b"data: c\r\n\r\n", b""]
    assert server.bodies == wanted
    more = [m["more_body"] for m in server.sent if m["type"] == streaming.BODY]
    assert more == [True, True, True, False]


def test_an_answer_that_is_no_stream_is_the_same() -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("all", 201)

    server = ask(page)
    assert server.head[0] == 201
    assert server.head[1][b"x-request-id"] == b"7"
    assert b"".join(server.bodies) == b"all"


def test_the_function_answers_for_what_fails_before_the_answer() -> None:
    async def page(request: Request) -> Response:
        raise ValueError

    server = ask(page)
    assert server.head[0] == 500
    assert b"".join(server.bodies) == b"failed"


def test_what_fails_in_the_middle_of_a_stream_is_raised() -> None:
    async def pieces() -> AsyncIterator[str]:
        yield "a"
        raise ArithmeticError

    async def page(request: Request) -> Response:
        return EventSourceResponse(pieces())

    # A task group wraps it.
    with pytest.raises(BaseException) as raised:
        ask(page)
    errors = getattr(raised.value, "exceptions", [raised.value])
    assert isinstance(errors[0], ArithmeticError)


def test_a_client_that_goes_ends_the_stream() -> None:
    ended = []

    async def run() -> Server:
        async def pieces() -> AsyncIterator[str]:
            try:
                yield "a"
                server.gone.set()
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        async def page(request: Request) -> Response:
            return EventSourceResponse(pieces())

        server = Server(page)
        await asyncio.wait_for(server.ask(), 30)
        return server

    assert asyncio.run(run()).bodies == [b"data: a\r\n\r\n"]
    assert ended == [True]


def test_a_server_that_stops_ends_the_stream() -> None:
    ended = []

    async def run() -> None:
        begun = asyncio.Event()

        async def page(request: Request) -> Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            raise AssertionError

        asked = asyncio.ensure_future(Server(page).ask())
        await begun.wait()
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()

    asyncio.run(run())
    assert ended == [True]


def test_another_function_has_the_whole_middleware() -> None:
    async def run() -> Server:
        async def page(request: Request) -> Response:
            return PlainTextResponse("page")

        async def function(request: Request, call_next: Any) -> Response:
            response = await call_next(request)
            pieces = [piece async for piece in response.body_iterator]
            return PlainTextResponse(b"".join(pieces) + b", read")

        server = Server(page)
        server.app.add_middleware(BaseHTTPMiddleware, dispatch=function)
        await asyncio.wait_for(server.ask(), 30)
        return server

    assert b"".join(asyncio.run(run()).bodies) == b"page, read"


def test_a_begun_body_goes_past_those_that_watch_for_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    past = streaming._past_watchers

    def recorded(send: Any) -> Any:
        found.append((send, past(send)))
        return found[-1][1]

    monkeypatch.setattr(streaming, "_past_watchers", recorded)

    async def page(request: Request) -> Response:
        return EventSourceResponse(pieces())

    async def pieces() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    assert len(ask(page).bodies) == 3
    [(before, after)] = found
    assert before is not after
    # What the server gave.
    assert after.__qualname__ == "Server.ask.<locals>.send"


def test_a_body_goes_past_no_function_that_may_change_it() -> None:
    class Loud:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def loud(message: Message) -> None:
                if message["type"] == streaming.BODY:
                    message = message | {"body": message["body"].upper()}
                await send(message)

            await self.app(scope, receive, loud)

    async def run() -> Server:
        async def pieces() -> AsyncIterator[str]:
            yield "a"
            yield "b"

        async def page(request: Request) -> Response:
            return EventSourceResponse(pieces(), sep="\n")

        server = Server(page)
        server.app.add_middleware(Loud)
        await asyncio.wait_for(server.ask(), 30)
        return server

    assert asyncio.run(run()).bodies == [b"DATA: A\n\n", b"DATA: B\n\n", b""]


@pytest.mark.parametrize(
    "data", ["", "a", "é\u2028", "a\nb", "a\r\nb", "a\r", b"raw", {"data": "x"}, 7]
)
@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_an_event_is_what_it_was(data: Any, separator: str) -> None:
    copy = dict(data) if isinstance(data, dict) else data
    wanted = ensure_bytes(copy, separator)
    assert streaming.as_event(data, separator) == wanted


def test_with_tracing_nothing_is_changed() -> None:
    program = (
        "from starlette.middleware.base import BaseHTTPMiddleware as M\n"
        "from mxfp4.gpt_oss import streaming\n"
        "assert M.__call__.__module__ == 'starlette.middleware.base'\n"
    )
    environment = os.environ | {"OTEL_SDK_DISABLED": "false"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
