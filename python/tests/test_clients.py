"""The programs that talk to a server, and the one that judges packages."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mxfp4 import check, parity


@contextmanager
def serve(answer: Callable[[dict], dict]) -> Iterator[str]:
    """Serves what `answer` says to each request, and yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.dumps(answer(json.loads(self.rfile.read(length)))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1"
        http.shutdown()


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


def begins(token: int = 7, logprob: float = -0.5, **top: float) -> parity.Sample:
    """An answer to prompt [0]."""
    return parity.Sample([0], [token, 1], [logprob, -1.0], [top, {"b": -1.0}])


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (begins(a=-0.5, b=-3.0), True),
        (begins(logprob=-0.53, a=-0.53, b=-2.97), True),
        (begins(token=8, a=-0.5, b=-3.0), False),
        (begins(logprob=-0.6, a=-0.5, b=-3.0), False),
        (begins(a=-0.5, b=-3.1), False),
        (begins(a=-0.5, b=float("nan")), False),
        # The last of the top can tie with one that is left out.
        (begins(a=-0.5, c=-3.03), True),
        (begins(a=-0.5, c=-2.9), False),
        (begins(a=-0.5, c=-3.1), False),
        (begins(), False),
    ],
)
def test_parity_tells_whether_answers_begin_alike(
    other: parity.Sample, alike: bool
) -> None:
    first = begins(a=-0.5, b=-3.0)
    assert parity.begins_alike(first, other, 0.05) is alike
    assert parity.begins_alike(other, first, 0.05) is alike


@pytest.mark.parametrize(("apart", "alike"), [(0.02, True), (0.2, False)])
def test_two_tokens_that_tie_begin_an_answer_alike(apart: float, alike: bool) -> None:
    first = begins(token=7, a=-0.5, b=-0.5 - apart)
    other = begins(token=8, a=-0.5 - apart, b=-0.5)
    assert parity.begins_alike(first, other, 0.05) is alike


@pytest.mark.parametrize(("error", "within"), [(0.02, True), (0.2, False)])
def test_each_is_judged_by_its_own_likeliest_tokens(
    error: float, within: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = np.linspace(-4, -1, 10)[None]
    # What it holds for the likeliest is what its error raised: all by 0.1.
    half = exact + np.array([-5.0] * 5 + [0.1] * 5)
    sample = parity.Sample([0, 1], [9], [-1.0], [{}])
    found = [parity.Difference(2, "t", -1.0, -1.0 - error)]
    assert parity.likeliest(half[0]) == [9, 9, 8, 7, 6, 5]
    assert parity.within_ratio(1.5, [sample], [found], [exact], [half]) is within
    assert "that of transformers in bfloat16 0.1000" in capsys.readouterr().out


def ask(
    record: Path, prompts: list[list[int]], answer: Callable[[dict], dict], *more: str
) -> int:
    """Runs the part of parity that asks the server."""
    record.write_text(json.dumps({"prompts": prompts}))
    with serve(answer) as server:
        return parity.main(
            f"--checkpoint m --record {record} --only ask --base-url {server}".split()
            + list(more)
        )


def test_parity_asks_so_many_prompts_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(3)
    lock = threading.Lock()
    running, most = 0, 0

    def answer(request: dict) -> dict:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(timeout=30)
        with lock:
            running -= 1
        (token,) = request["prompt"]
        logprobs = {"token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}]}
        return completion(token_ids=[token + 1], logprobs=logprobs)

    record = tmp_path / "record.json"
    prompts = [[token] for token in range(6)]
    assert ask(record, prompts, answer, "--concurrency", "3") == 0
    assert most == 3
    answers = json.loads(record.read_text())["answers"]
    assert [a["tokens"] for a in answers] == [[token + 1] for token in range(6)]


@pytest.mark.parametrize("spoiled", [None, 3])
def test_parity_asks_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoiled: int | None
) -> None:
    asked: list[int] = []

    def answer(request: dict) -> dict:
        (prompt,) = request["prompt"]
        asked.append(prompt)
        # Prompt 5 gets another token the third time.
        token = 9 if (prompt, asked.count(prompt)) == (5, spoiled) else 7
        logprobs = {"token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}]}
        return completion(token_ids=[token], logprobs=logprobs)

    record = tmp_path / "record.json"
    code = ask(record, [[4], [5]], answer, "--repeat", "3")
    assert sorted(asked) == [4, 4, 4, 5, 5, 5]
    lines = capsys.readouterr().out.splitlines()
    # What the server said the first time stays, for a comparison.
    assert [a["tokens"] for a in json.loads(record.read_text())["answers"]] == [[7]] * 2
    if not spoiled:
        assert code == 0
        assert lines[0].startswith("3 runs of 2 prompts: 0 of the 4 later answers")
        return
    assert code == 1
    said = "log-probabilities [-0.5], of the first {'a': -0.5}"
    assert lines == [
        "prompt 1, [5]:",
        f"  run 1: tokens [7], {said}",
        f"  run 3: tokens [9], {said}",
        "3 runs of 2 prompts: 1 of the 4 later answers begin unlike the first",
    ]


@pytest.mark.parametrize("option", ["--concurrency", "--repeat"])
@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_parity_counts_from_one(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parity.main(["--checkpoint", "m", option, value])
    assert exit_.value.code == 2
    assert option in capsys.readouterr().err


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
