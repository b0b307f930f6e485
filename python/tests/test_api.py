"""MAX's own HTTP, as `--frontend max` starts it, with its dummy model."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import PATIENCE, Reply, Server

pytestmark = pytest.mark.job(first=True)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint_folder: Path,
    kernel_package: Path,
) -> Iterator[Server]:
    """A server at which four requests wait, and about as many on the way."""
    with Server(
        tmp_path_factory.mktemp("server"),
        checkpoint_folder,
        kernel_package,
        MAX_SERVE_MAX_PENDING_REQUESTS="4",
        MAX_SERVE_MAX_QUEUE_SIZE="2",
    ) as running:
        yield running


def message(reply: Reply) -> dict:
    assert reply.status == 200, reply.text
    return reply.json["choices"][0]["message"]


def test_a_stop_word_ends_the_answer(server: Server) -> None:
    reply = server.chat("one STOP two", stop=["STOP"])
    assert message(reply)["content"] == "userone "
    assert reply.json["choices"][0]["finish_reason"] == "stop"


def test_so_many_tokens_and_no_more(server: Server) -> None:
    reply = server.post("/v1/completions", prompt="abcdef", max_tokens=4, seed=3)
    (choice,) = reply.json["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("abcd", "length")
    usage = reply.json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (6, 4)
    assert usage["total_tokens"] == 10


def test_the_usage_ends_a_stream_that_asks_for_it(server: Server) -> None:
    options = {"include_usage": True}
    reply = server.chat("abc", stream=True, stream_options=options, max_tokens=9)
    last = reply.events[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 9


def test_the_model_is_listed(server: Server) -> None:
    (model,) = server.get("/v1/models").json["data"]
    assert (model["id"], model["object"]) == (server.model, "model")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({}, "messages"),
        ({"temperature": -1}, ""),
        ({"model": "another"}, ""),
        ({"logprobs": True, "top_logprobs": 99}, "top_logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "a b"),
    ],
)
def test_a_bad_request_is_answered_in_openai_s_form(
    server: Server, body: dict, says: str
) -> None:
    whole = {} if not body or "messages" in body else {"messages": [_user("x")]}
    reply = server.post("/v1/chat/completions", **whole, **body)
    assert reply.status in (400, 404, 422)
    error = reply.json["error"]
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"


def _user(content: str) -> dict:
    return {"role": "user", "content": content}


def test_a_prompt_over_the_limit_is_refused(server: Server) -> None:
    long = "a" * 131_100
    for reply in (
        server.chat(long),
        server.post("/v1/completions", prompt=long, max_tokens=4),
    ):
        assert reply.status == 400
        assert "Prompt is too long" in reply.json["error"]["message"]


def test_a_flood_is_answered_with_429(server: Server) -> None:
    replies: list[Reply] = []

    def ask() -> None:
        prompt = "abcdefgh" * 250
        replies.append(server.post("/v1/completions", prompt=prompt, max_tokens=5000))

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = Counter(reply.status for reply in replies)
    assert set(counts) == {200, 429}
    refused = next(reply for reply in replies if reply.status == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json["error"]["type"] == "rate_limit_error"
    # It goes on afterwards.
    assert "abc" in message(server.chat("abc"))["content"]


def test_who_hangs_up_leaves_no_request_behind(server: Server) -> None:
    running = "maxserve_num_requests_running"
    steps = "maxserve_batch_size_count"
    before = server.metric(steps)
    body = {
        "model": server.model,
        "prompt": "abcdefgh" * 12_000,
        "max_tokens": 90_000,
        "stream": True,
    }
    data = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: test\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(data) + data
        )
        client.settimeout(PATIENCE)
        received = client.recv(200)
    assert b"200 OK" in received
    end = time.monotonic() + PATIENCE
    while server.metric(running) > 0:
        assert time.monotonic() < end
        time.sleep(0.5)
    if server.metric(steps) - before >= 90_000:
        pytest.skip("skipped: the model was through before the server saw the hang-up")
    # And the model is free for others.
    assert "abc" in message(server.chat("abc"))["content"]
