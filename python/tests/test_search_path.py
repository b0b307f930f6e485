"""The packages of whichever Python runs stay out of a carried SDK's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[1]

PROGRAM = """\
import importlib.util, site, sys
sys.path.append(sys.argv[1])
site.getsitepackages = lambda: [sys.argv[1]]
from mxfp4.search_path import keep_to_sdk
keep_to_sdk()
print(*(name for name in ("max", "torch", "json") if importlib.util.find_spec(name)))
"""


def found(folder: Path, path: list[Path]) -> list[str]:
    """What is found of `max`, `torch` and `json`, torch being in the interpreter's."""
    own = folder / "own"
    (own / "torch").mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        # -S: no packages but those named here.
        [sys.executable, "-S", "-c", PROGRAM, str(own)],
        env={"PYTHONPATH": os.pathsep.join(map(str, [PYTHON, *path]))},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


def test_a_carried_sdk_is_all_there_is(tmp_path: Path) -> None:
    (tmp_path / "sdk/max").mkdir(parents=True)
    assert found(tmp_path, [tmp_path / "sdk"]) == ["max", "json"]


@pytest.mark.parametrize("sdk", [True, False])
def test_packages_beside_max_stay(tmp_path: Path, sdk: bool) -> None:
    (tmp_path / "own/max").mkdir(parents=True)
    # In a Modular checkout a part of MAX comes from the sources.
    (tmp_path / "sdk/max").mkdir(parents=True)
    path = [tmp_path / "sdk"] if sdk else []
    assert found(tmp_path, path) == ["max", "torch", "json"]


def test_what_pythonpath_names_stays(tmp_path: Path) -> None:
    (tmp_path / "sdk/max").mkdir(parents=True)
    path = [tmp_path / "sdk", tmp_path / "own"]
    assert found(tmp_path, path) == ["max", "torch", "json"]


def test_without_max_nothing_changes(tmp_path: Path) -> None:
    assert found(tmp_path, []) == ["torch", "json"]
