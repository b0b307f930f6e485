"""What `MAX_CUSTOM_EXTENSIONS` may hold."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mxfp4.kernels import custom_extensions


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for file in (
        "a.mojoc",
        "old.mojopkg",
        "notes.txt",
        "packages/b.mojoc",
        "packages/c.mojopkg",
        "packages/readme.md",
        "source/__init__.mojo",
        "source/d.mojoc",
        "with space/e.mojoc",
    ):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "nothing").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([], []),
        (["a.mojoc"], ["a.mojoc"]),
        (["a.mojoc", "old.mojopkg"], ["a.mojoc", "old.mojopkg"]),
        (["old.mojopkg", "a.mojoc"], ["old.mojopkg", "a.mojoc"]),
        (["packages"], ["packages/b.mojoc", "packages/c.mojopkg"]),
        (["source"], ["source"]),
        (["with space/e.mojoc"], ["with space/e.mojoc"]),
        (["a.mojoc", "a.mojoc", "source/../a.mojoc"], ["a.mojoc"]),
        (["packages/b.mojoc", "packages"], ["packages/b.mojoc", "packages/c.mojopkg"]),
    ],
)
def test_finds(tree: Path, entries: list[str], found: list[str]) -> None:
    value = ":".join(str(tree / entry) for entry in entries)
    assert custom_extensions.parse(value) == custom_extensions.Extensions(
        tuple((tree / path).resolve() for path in found)
    )


def test_empty_entries_mean_nothing(tree: Path) -> None:
    assert custom_extensions.parse(f"::{tree / 'a.mojoc'}:").paths == (
        (tree / "a.mojoc").resolve(),
    )


def test_a_link_and_its_target_are_one_package(tree: Path) -> None:
    (tree / "link.mojoc").symlink_to(tree / "a.mojoc")
    found = custom_extensions.parse(f"{tree}/link.mojoc:{tree}/a.mojoc")
    assert found.paths == ((tree / "a.mojoc").resolve(),)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("gone.mojoc", "does not exist"),
        ("notes.txt", "is not a .mojoc or .mojopkg file"),
        ("nothing", "holds neither __init__.mojo nor a .mojoc or .mojopkg file"),
    ],
)
def test_reports_what_it_cannot_load(tree: Path, entry: str, problem: str) -> None:
    found = custom_extensions.parse(f"{tree / entry}:{tree / 'a.mojoc'}")
    assert found.problems == (f"{tree / entry} {problem}",)
    assert found.paths == ((tree / "a.mojoc").resolve(),)


def test_logs_once_how_many_it_loads(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(
        custom_extensions.VARIABLE, f"{tree / 'packages'}:{tree / 'gone.mojoc'}"
    )
    with caplog.at_level(logging.INFO, logger="max.pipelines"):
        assert len(custom_extensions.load()) == 2
        assert len(custom_extensions.load()) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"MAX_CUSTOM_EXTENSIONS: {tree / 'gone.mojoc'} does not exist",
        "Loading 2 custom Mojo extension(s)",
    ]


def test_logs_nothing_without_packages(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(custom_extensions.VARIABLE, raising=False)
    with caplog.at_level(logging.INFO, logger="max.pipelines"):
        assert custom_extensions.load() == ()
    assert not caplog.records
