"""The programs that talk to a server, and the one that judges packages."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mxfp4 import chat, check, parity


class Answers(BaseHTTPRequestHandler):
    """Answers every chat request alike, and keeps the requests."""

    requests: list[dict] = []  # noqa: RUF012

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.requests.append(json.loads(self.rfile.read(length)))
        body = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "length",
                        "message": {"role": "assistant", "content": "Matrices."},
                    }
                ],
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 8,
                    "total_tokens": 11,
                },
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


def test_chat(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--base-url", server, "--model", "m", "--prompt", "Hi"]
    assert chat.main([*arguments, "--max-tokens", "8"]) == 0
    (request,) = Answers.requests
    assert request["messages"] == [{"role": "user", "content": "Hi"}]
    assert request["max_tokens"] == 8
    answer, speed = capsys.readouterr().out.splitlines()
    assert answer == "Matrices."
    assert speed.startswith("8 tokens in ") and speed.endswith(" tokens/s")


def test_chat_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert chat.main(["--base-url", "http://127.0.0.1:1/v1", "--model", "m"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:1/v1: ")
    assert error.count("\n") == 1


def completion(**choice: object) -> dict:
    return {"choices": [choice]}


def test_parity_reads_a_completion() -> None:
    sample = parity.parse_sample(
        [1, 2],
        completion(
            token_ids=[7],
            logprobs={"token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}]},
        ),
    )
    assert sample == parity.Sample([1, 2], [7], [-0.5], [{"a": -0.5}])


@pytest.mark.parametrize(
    "choice",
    [
        {"token_ids": [7], "logprobs": None},
        {"token_ids": [], "logprobs": {"token_logprobs": [], "top_logprobs": []}},
        {"logprobs": {"token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}]}},
    ],
)
def test_parity_accepts_no_gaps(choice: dict) -> None:
    with pytest.raises(ValueError, match="the server returned"):
        parity.parse_sample([1], completion(**choice))


def test_parity_compares_each_log_probability() -> None:
    top = {"a": -0.5, "?": -3.0}
    sample = parity.Sample([0], [2, 1], [-0.5, -1.0], [top, {"a": -1.0}])
    reference = np.array([[-9.0, -2.5, -0.25, -3.5], [0.0, -1.0, -2.0, 0.0]])
    ids = {"a": [2], "?": [1, 3]}
    sizes = [found.size for found in parity.compare(sample, reference, ids, 2)]
    assert sizes == [0.25, 0.25, 0.5, 0.0, 1.0]
    assert len(parity.compare(sample, reference, ids, 1)) == 3


def test_parity_does_not_overlook_a_nan() -> None:
    assert parity.Difference(0, "a", float("nan"), -1.0).size == float("inf")
    assert parity.Difference(0, "a", -1.0, float("nan")).size == float("inf")


def test_parity_refuses_an_unknown_token() -> None:
    sample = parity.Sample([0], [2], [-0.5], [{"b": -0.5}])
    with pytest.raises(ValueError, match="'b', which is none"):
        parity.compare(sample, np.zeros((1, 3)), {"a": [2]}, 1)


def test_parity_compares_up_to_the_first_unsure_router() -> None:
    assert parity.sure([0.5, 0.2, 0.05, 0.5], 0.1) == 2
    assert parity.sure([0.5, 0.2], 0.1) == 2
    assert parity.sure([0.05], 0.1) == 0


def test_parity_draws_prompts_that_routers_are_sure_of() -> None:
    tokens = iter(range(100))

    def margins(prompts: list[list[int]]) -> list[list[float]]:
        return [[float(token % 3) for token in prompt] for prompt in prompts]

    prompts = parity.clear_prompts(margins, lambda: next(tokens), 2, 2, 1.0)
    assert prompts == [[4, 1], [2, 5]]
    with pytest.raises(ValueError, match="1 of 1 prompts of 4 tokens"):
        parity.clear_prompts(lambda prompts: [[0.0] * 4], lambda: 0, 1, 4, 1.0)


def test_check_accepts_the_kernel_package(
    kernel_package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main([str(kernel_package)]) == 0
    assert capsys.readouterr().out.startswith("ok: ")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone.mojoc", "does not exist"),
        ("old.mojopkg", "made by an older Mojo compiler"),
        ("noise.mojoc", "this MAX cannot load it"),
    ],
)
def test_check_refuses(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str, message: str
) -> None:
    if not file.startswith("gone"):
        (tmp_path / file).write_bytes(b"not a package")
    assert check.main([str(tmp_path / file)]) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_check_names_missing_ops(
    kernel_package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MAX_MXFP4_KERNEL_OP", "other.matmul")
    assert check.main([str(kernel_package)]) == 1
    assert "does not register other.matmul, other.matmul_bias" in (
        capsys.readouterr().err
    )
