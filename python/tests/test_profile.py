"""Where the time of a step goes: from a record to a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mxfp4 import profile

MICROSECOND = 1000


def step(at: int, kernels: list[tuple[str, int, int]]) -> list[profile.Activity]:
    """Activities of a step that begins `at`; each with its offset and length in us."""
    return [
        (name, (at + offset) * MICROSECOND, (at + offset + length) * MICROSECOND)
        for name, offset, length in kernels
    ]


DECODE = [("matmul_0123456789abcdef", 0, 40), ("matmul_fedcba9876543210", 30, 20)]
END = ("mxfp4_health_kernel_0123456789abcdef", 60, 5)
PROMPT = [("attention", number, 1) for number in range(9)]


def test_the_steps_that_are_alike_are_told() -> None:
    record = []
    for number, kernels in enumerate([PROMPT, DECODE, DECODE, PROMPT, DECODE, DECODE]):
        record += step(100 * number, [*kernels, END])
    told = profile.profile(reversed(record))
    assert told.steps == 4
    assert told.period == 100
    # The two products overlap by 10 us, and are one row.
    assert told.busy == 55
    assert [(row.name, row.count, row.microseconds) for row in told.rows] == [
        ("matmul", 2, 60),
        ("mxfp4_health_kernel", 1, 5),
    ]
    lines = profile.table(told).splitlines()
    assert lines[2] == "| `matmul` | 2 | 60.0 | 60.0% |"
    assert lines[-2:] == [
        "| (nothing runs) | | 45.0 | 45.0% |",
        "| one step (median of 4) | | 100.0 | |",
    ]


def test_the_longest_steps_are_those_with_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at, record = 0, []
    for kernels, length in [(DECODE, 100), (PROMPT, 300), (DECODE, 90), (PROMPT, 290)]:
        record += step(at, [*kernels, (END[0], length - 5, 5)])
        at += length
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    profile.main([str(file), "--longest", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert "| `attention` | 9 | 9.0 | 3.1% |" in lines
    assert "| one step (median of 2) | | 295.0 | |" in lines


@pytest.mark.parametrize("steps", [0, 1])
def test_a_step_that_was_cut_is_none(steps: int) -> None:
    record = step(0, [*DECODE, END] * steps)
    with pytest.raises(ValueError, match="no whole step"):
        profile.profile(record)


def test_a_record_without_a_step_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text("[]")
    with pytest.raises(SystemExit, match="error: the record holds no whole step"):
        profile.main([str(file)])
