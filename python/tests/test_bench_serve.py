"""The load generator of `mxfp4 bench serve`: lengths of prompts, and what it counts."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mxfp4 import bench_serve

pytest.importorskip(
    "cyclopts", reason="skipped: needs max[benchmark], run `mxfp4 setup`"
)


class Merging:
    """A tokenizer that makes one token of two of its words wherever they meet."""

    words = ("", " a", " b", " a b")

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.words[token] for token in tokens)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        found = []
        while text:
            word = max(filter(text.startswith, self.words), key=len)
            found.append(self.words.index(word))
            text = text[len(word) :]
        return found


@pytest.mark.parametrize("length", [1, 7, 200])
def test_prompts_have_the_length_that_is_asked_for(
    length: int, checkpoint_folder: Path
) -> None:
    from transformers import AutoTokenizer

    tiny = AutoTokenizer.from_pretrained(checkpoint_folder, local_files_only=True)
    merging = Merging()
    for tokenizer, words in [(tiny, bench_serve.words_of(tiny)), (merging, [1, 2])]:
        make = bench_serve.prompts
        texts = list(make(tokenizer, words, length, 5, "a"))
        for text in texts:
            assert len(tokenizer.encode(text, add_special_tokens=False)) == length
        assert texts == list(make(tokenizer, words, length, 5, "a"))
        if length > 1:
            assert texts != list(make(tokenizer, words, length, 5, "b"))


class Faulty(BaseHTTPRequestHandler):
    """Of three requests one fails, one gets too few tokens and one is answered."""

    numbers = itertools.count()

    def do_GET(self) -> None:
        self.answer(200, json.dumps({"data": [{"id": "m"}]}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body)["max_tokens"]
        kind = next(self.numbers) % 3
        if kind == 0:
            self.answer(503, "{}")
            return
        tokens = 2 if kind == 1 else asked
        events: list[dict[str, Any]] = [{"choices": [{"text": "a"}]}] * tokens
        usage = {"prompt_tokens": 8, "completion_tokens": tokens, "total_tokens": 0}
        events.append({"choices": [], "usage": usage})
        lines = [json.dumps(event) for event in events] + ["[DONE]"]
        self.answer(200, "".join(f"data: {line}\n\n" for line in lines))

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        pass


def test_what_fails_or_is_too_short_is_counted(
    checkpoint_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--tokenizer", str(checkpoint_folder), "--shape", "8/5"]
    arguments += ["--concurrency", "1", "--requests", "9", "--warmup", "0"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}"
        bench_serve.main(["--url", url, *arguments])
        http.shutdown()
    (line,) = [
        json.loads(line)
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("{")
    ]
    counts = {key: line[key] for key in ("requests", "failed", "short")}
    assert counts == {"requests": 9, "failed": 3, "short": 3}
    assert line["output_tokens"] == 3 * 2 + 3 * 5
    assert "2 tokens instead of 5" in line["errors"]
    assert len(line["errors"]) == 2


def test_a_server_that_is_not_there_is_said(checkpoint_folder: Path) -> None:
    arguments = ["--tokenizer", str(checkpoint_folder), "--shape", "8/5"]
    arguments += ["--concurrency", "1", "--url", "http://127.0.0.1:1"]
    with pytest.raises(SystemExit, match="does not say what it serves"):
        bench_serve.main(arguments)
