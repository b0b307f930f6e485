"""`python -m mxfp4.run_module` behaves as `python -m` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[1]

MODULE = """\
import atexit, sys
atexit.register(print, "torn down")
print(sys.argv[1:], __name__)
{end}
"""


def run(tmp_path: Path, end: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "module.py").write_text(MODULE.format(end=end))
    return subprocess.run(
        [sys.executable, "-m", "mxfp4.run_module", "module", "a", "-b"],
        env={"PYTHONPATH": f"{PYTHON}:{tmp_path}"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no')", 1, "no\n"),
    ],
)
def test_ends_with_the_module_s_code_and_no_teardown(
    tmp_path: Path, end: str, code: int, said: str
) -> None:
    ran = run(tmp_path, end)
    assert ran.returncode == code
    assert ran.stdout == "['a', '-b'] __main__\n"
    assert ran.stderr == said


def test_an_exception_is_printed(tmp_path: Path) -> None:
    ran = run(tmp_path, "raise ValueError('so')")
    assert ran.returncode == 1
    assert ran.stderr.endswith("ValueError: so\n")


def test_needs_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mxfp4.run_module"],
        env={"PYTHONPATH": str(PYTHON)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "usage" in ran.stderr
