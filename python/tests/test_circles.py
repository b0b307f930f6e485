"""No file imports one that imports it, however far around, in Python or in Rust."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "circles"


def run(*folders: Path) -> tuple[int, list[str]]:
    command = [sys.executable, str(SCRIPT), *map(str, folders)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert not said.stderr
    return said.returncode, said.stdout.splitlines()


PYTHON = [ROOT / name for name in ("python", "python/tests", "scripts")]


def test_there_are_none() -> None:
    if not SCRIPT.is_file():
        pytest.skip(f"skipped: {SCRIPT} is not there, as in a bundle")
    crates = [path.parent for path in ROOT.glob("crates/*/Cargo.toml")]
    # A bundle has the script, and no Rust.
    assert not crates or len(crates) > 8
    assert run(*PYTHON, *crates) == (0, [])


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


def test_it_finds_those_of_a_crate(tmp_path: Path) -> None:
    if not SCRIPT.is_file():
        pytest.skip(f"skipped: {SCRIPT} is not there, as in a bundle")
    files = {
        "Cargo.toml": "",
        # A parent that names its children, and passes a name on, uses none.
        "src/lib.rs": "pub mod a;\nmod b;\nmod c;\nmod d;\n"
        "#[cfg(test)]\nmod tests;\npub use d::D;\n",
        "src/a.rs": "mod e;\npub use self::e::E;\nuse other::b;\npub(crate) struct A;\n"
        "#[cfg(test)]\npub mod tests {\n    use super::super::c::C;\n}\n",
        # Through the parent's name for it, from a function, not from a comment.
        "src/a/e.rs": "// crate::c::C\nuse super::A;\npub struct E;\n",
        "src/b.rs": 'use crate::{D, a};\nfn f() { a::E; "crate::a::A" }\n',
        "src/c.rs": "use crate::b;\npub struct C(b::B);\n",
        "src/d.rs": "pub struct D;\nfn f() { crate::c::C }\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    name = tmp_path.name
    assert run(tmp_path) == (
        1,
        [
            f"{name}::a -> {name}::a::e -> {name}::a",
            f"{name}::b -> {name}::d -> {name}::c -> {name}::b",
        ],
    )
