"""No Python file imports one that imports it, however far around."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "circles"


def run(*folders: Path) -> tuple[int, list[str]]:
    command = [sys.executable, str(SCRIPT), *map(str, folders)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert not said.stderr
    return said.returncode, said.stdout.splitlines()


def test_there_are_none() -> None:
    if not SCRIPT.is_file():
        pytest.skip(f"skipped: {SCRIPT} is not there, as in a bundle")
    assert run() == (0, [])


def test_it_finds_them(tmp_path: Path) -> None:
    if not SCRIPT.is_file():
        pytest.skip(f"skipped: {SCRIPT} is not there, as in a bundle")
    files = {
        "p/__init__.py": "",
        "p/a.py": "from p import b, c\n",
        "p/b.py": "def f():\n    from .d import f\n",
        "p/c.py": "import os\n",
        "p/d.py": "import p.a\n",
        "p/q/__init__.py": "from ..c import x\nfrom . import e\n",
        "p/q/e.py": "from p.q import y\n",
        "alone.py": "import alone_too\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    circles = ["p.a -> p.b -> p.d -> p.a", "p.q -> p.q.e -> p.q"]
    assert run(tmp_path) == (1, circles)
