"""Tells where the time of a decode step goes, from what the server recorded.

    python -m mxfp4.profile RECORD.json [--longest STEPS]

A step ends where the model looks at its logits, which it does once. What is told is of
the steps that are alike: those with as many kernels as most have, so that no prompt is
among them. With `--longest` it is of so many steps that took longest, which are those
with prompts. ``mxfp4 bench serve --profile DIR`` makes records, by way of
`mxfp4.gpt_oss.timeline`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

REQUEST = "request"
"""File with the number of steps that the server is to record."""
RECORD = "record.json"
"""What it recorded: `[name, start, end]`, times in nanoseconds."""

MARK = "health_kernel"
"""Part of the name of the kernel that stands once in each step."""

Activity = tuple[str, int, int]
"""Name, start and end in nanoseconds."""


@dataclass(frozen=True)
class Row:
    """What the kernels of one name take of a step."""

    name: str
    count: float
    microseconds: float


@dataclass(frozen=True)
class Profile:
    """One step; times in microseconds."""

    steps: int
    """How many it is the mean of."""
    period: float
    """From one step to the next."""
    busy: float
    """When at least one kernel or copy ran."""
    rows: Sequence[Row]
    """The longest first."""


def profile(activities: Iterable[Activity], longest: int = 0) -> Profile:
    """Returns the step that most steps are like, or if `longest` is not 0 one of so
    many that took longest.

    Raises:
        ValueError: The record holds no whole step.
    """
    steps: list[list[Activity]] = [[]]
    for activity in sorted(activities, key=lambda activity: activity[1]):
        steps[-1].append(activity)
        if MARK in activity[0]:
            steps.append([])
    # The first and the last were cut.
    pairs = itertools.pairwise(steps[:-1])
    whole = [(before[-1], step) for before, step in pairs]
    if not whole:
        raise ValueError("the record holds no whole step of the model")
    if longest:
        whole.sort(key=lambda pair: pair[0][2] - pair[1][-1][2])
        alike = whole[:longest]
    else:
        [(usual, _)] = Counter(len(step) for _, step in whole).most_common(1)
        alike = [(before, step) for before, step in whole if len(step) == usual]
    periods = [step[-1][2] - before[2] for before, step in alike]
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, step in alike:
        for name, start, end in step:
            total = totals[short(name)]
            total[0] += 1
            total[1] += end - start
    rows = [
        Row(name, count / len(alike), time / len(alike) / 1e3)
        for name, (count, time) in totals.items()
    ]
    return Profile(
        steps=len(alike),
        period=median(periods) / 1e3,
        busy=median(busy(step) for _, step in alike) / 1e3,
        rows=sorted(rows, key=lambda row: -row.microseconds),
    )


def busy(step: Sequence[Activity]) -> int:
    """Returns the nanoseconds in which at least one ran; `step` is sorted by start."""
    total = until = 0
    for _, start, end in step:
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total


def short(name: str) -> str:
    """Returns a kernel's name without what makes it unique in its module."""
    return re.sub(r"_?[0-9a-f]{16,}$", "", name)[:100]


def table(profile: Profile) -> str:
    """Returns the profile as a Markdown table."""
    idle = profile.period - profile.busy
    lines = [
        "| kernel | a step | us | share |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{row.name}` | {row.count:g} | {row.microseconds:.1f} "
            f"| {row.microseconds / profile.period:.1%} |"
            for row in profile.rows
        ),
        f"| (nothing runs) | | {idle:.1f} | {idle / profile.period:.1%} |",
        f"| one step (median of {profile.steps}) | | {profile.period:.1f} | |",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mxfp4.profile")
    parser.add_argument("record", type=Path, help="what the server recorded")
    parser.add_argument(
        "--longest",
        type=int,
        default=0,
        metavar="STEPS",
        help="of so many steps that took longest, not of those that most are like",
    )
    args = parser.parse_args(arguments)
    activities = map(tuple, json.loads(args.record.read_text()))
    try:
        sys.stdout.write(table(profile(activities, args.longest)))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
