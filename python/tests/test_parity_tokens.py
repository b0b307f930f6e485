"""`mxfp4.parity` between two servers or recordings, and the prompts it draws."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mxfp4 import parity, parity_tokens
from test_clients import completion, serve

IDS = {"a": [7], "b": [8], "?": [9, 10]}


def answer(
    *tokens: int, prompt: tuple[int, ...] = (0,), top: dict[str, float] | None = None
) -> parity.Sample:
    """An answer whose every token had such likeliest ones."""
    top = {"a": -0.5, "b": -0.55, "?": -2.0} if top is None else top
    count = len(tokens)
    return parity.Sample(list(prompt), list(tokens), [-0.5] * count, [top] * count)


@pytest.mark.parametrize(
    ("other", "position", "gap"),
    [
        ((8, 7, 7), 0, 0.05),
        ((7, 7, 8), 2, 0.05),
        ((7, 10, 7), 1, 1.5),
        ((7, 11, 7), 1, float("inf")),
    ],
)
def test_answers_part(other: tuple[int, ...], position: int, gap: float) -> None:
    (parting,) = parity_tokens.partings(
        [answer(7, 7, 7)], [answer(*other)], lambda: IDS
    )
    assert (parting.position, parting.tokens) == (position, (7, other[position]))
    assert parting.gap == pytest.approx(gap)


def test_a_gap_that_is_no_number_is_no_tie() -> None:
    nan = {"a": float("nan"), "b": -0.5}
    (parting,) = parity_tokens.partings([answer(7, top=nan)], [answer(8)], lambda: IDS)
    assert parting.gap == float("inf")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (answer(7, prompt=(1,)), "prompt 0 differs"),
        (answer(7, 7), "answers of 1 and 2 tokens"),
    ],
)
def test_what_cannot_be_compared_is_refused(other: parity.Sample, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parity_tokens.partings([answer(7)], [other], lambda: IDS)


def compare(
    folder: Path,
    these: list[parity.Sample],
    those: list[parity.Sample],
    monkeypatch: pytest.MonkeyPatch,
    *flags: str,
) -> int:
    """Compares recordings of such answers."""
    files = []
    for name, answers in (("a", these), ("b", those)):
        files.append(folder / name)
        files[-1].write_text(json.dumps({"answers": [asdict(one) for one in answers]}))
    monkeypatch.setattr(parity, "texts_to_ids", lambda folder: IDS)
    return parity.main(["--checkpoint", "m", "--compare", *map(str, files), *flags])


def test_recordings_that_part_at_ties_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = (1, 2)
    these = [answer(7, 7), answer(7, 7), answer(7, 7, prompt=long)]
    those = [answer(7, 7), answer(7, 8), answer(7, 7, prompt=long)]
    assert compare(tmp_path, these, those, monkeypatch) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 prompts of 1 tokens: 3 tokens alike, 1 answers to their end; "
        "1 part where two tokens tie (within 0.1), 0 where none do",
        "1 prompts of 2 tokens: 2 tokens alike, 1 answers to their end; "
        "0 part where two tokens tie (within 0.1), 0 where none do",
        "the servers agree",
    ]
    those[2] = answer(7, 9, prompt=long)
    assert compare(tmp_path, these, those, monkeypatch) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "  prompt 2, after 1 tokens: 7 and 9, apart by 1.500",
        "the servers differ",
    ]


def test_answers_may_part_where_a_router_all_but_ties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference is replaced by margins, of which the last prompt's is small."""

    class Reference:
        def smallest_margins(self, samples: list[list[int]]) -> list[list[float]]:
            return [[0.5, 0.01 if sample[0] == 2 else 0.3] for sample in samples]

    monkeypatch.setattr(parity, "make_reference", lambda args: Reference())
    these = [answer(7, 7), answer(7, 7, prompt=(2,))]
    those = [answer(7, 7), answer(7, 9, prompt=(2,))]
    flags = ("--router-margin", "0.08")
    assert compare(tmp_path, these, those, monkeypatch, *flags) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 prompts of 1 tokens: 3 tokens alike, 1 answers to their end; "
        "0 part where two tokens tie (within 0.1), 1 where a router all but does "
        "(within 0.08), 0 where none do",
        "the servers agree",
    ]
    those[0] = answer(7, 9)
    assert compare(tmp_path, these, those, monkeypatch, *flags) == 1
    assert compare(tmp_path, these, those, monkeypatch) == 1


def test_a_recording_without_answers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path, [], [], monkeypatch) == 1
    assert "a holds no answers: record some" in capsys.readouterr().err


@pytest.mark.parametrize(("spoiled", "code"), [(False, 0), (True, 1)])
def test_two_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: bool, code: int
) -> None:
    """The other is asked for no log-probabilities, as it may refuse them."""
    monkeypatch.setattr(parity, "texts_to_ids", lambda folder: IDS)
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 100}))
    asked: list[list[int]] = []

    def first(request: dict) -> dict:
        asked.append(request["prompt"])
        logprobs = {"token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5, "b": -3}]}
        return completion(token_ids=[7], logprobs=logprobs)

    def other(request: dict) -> dict:
        assert "logprobs" not in request
        return completion(token_ids=[8 if spoiled else 7])

    with serve(first) as url, serve(other) as against:
        arguments = ["--checkpoint", str(tmp_path), "--base-url", url]
        arguments += ["--against", against, "--prompt-tokens", "10,500,5000"]
        assert parity.main([*arguments, "--prompts", "2", "--tokens", "1"]) == code
    assert sorted(map(len, asked)) == [10, 10, 500, 500, 5000, 5000]
    assert all(token < 97 for prompt in asked for token in prompt)


def test_tokens_alone_are_recorded(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps({"prompts": [[1]]}))
    with serve(lambda request: completion(token_ids=[7])) as url:
        arguments = f"--checkpoint m --record {file} --only ask --base-url {url}"
        assert parity.main([*arguments.split(), "--no-logprobs"]) == 0
    (recorded,) = parity.read_answers(file)
    assert recorded == parity.Sample([1], [7], [], [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prompt-tokens", "10,0"],
        ["--prompt-tokens", "10,"],
        ["--no-logprobs"],
        ["--only", "ask"],
        ["--record", "r", "--only", "ask", "--no-logprobs", "--repeat", "2"],
    ],
    ids=" ".join,
)
def test_command_lines_that_make_no_sense(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parity.main(["--checkpoint", "m", *arguments])
    assert exit_.value.code == 2
    assert "error: " in capsys.readouterr().err
