"""Finds the kernel packages that `MAX_CUSTOM_EXTENSIONS` names.

The variable lists paths separated by `:`. A path is a precompiled package
(`.mojoc`, or `.mojopkg` of older compilers), a source directory holding
`__init__.mojo`, or a directory of precompiled packages.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "MAX_CUSTOM_EXTENSIONS"

PACKAGE_SUFFIXES = (".mojoc", ".mojopkg")
SOURCE_MARKERS = ("__init__.mojo", "__init__.🔥")

# MAX's console shows records of its own components only.
logger = logging.getLogger("max.pipelines.mxfp4")


@dataclass(frozen=True)
class Extensions:
    """What a value of `MAX_CUSTOM_EXTENSIONS` stands for."""

    paths: tuple[Path, ...] = ()
    """Packages and source directories to load, in order, each once."""

    problems: tuple[str, ...] = ()
    """One sentence for each entry that names nothing loadable."""


def parse(value: str) -> Extensions:
    """Resolves the entries of a `MAX_CUSTOM_EXTENSIONS` value."""
    paths: dict[Path, None] = {}
    problems: list[str] = []
    for entry in filter(None, value.split(":")):
        found = list(_expand(Path(entry), problems))
        paths.update(dict.fromkeys(path.resolve() for path in found))
    return Extensions(tuple(paths), tuple(problems))


def _expand(path: Path, problems: list[str]) -> Iterator[Path]:
    if path.is_file():
        if path.suffix in PACKAGE_SUFFIXES:
            yield path
        else:
            problems.append(f"{path} is not a {' or '.join(PACKAGE_SUFFIXES)} file")
    elif not path.is_dir():
        problems.append(f"{path} does not exist")
    elif any((path / marker).is_file() for marker in SOURCE_MARKERS):
        yield path
    else:
        packages = sorted(p for p in path.iterdir() if p.suffix in PACKAGE_SUFFIXES)
        if not packages:
            problems.append(
                f"{path} holds neither {SOURCE_MARKERS[0]} nor a "
                f"{' or '.join(PACKAGE_SUFFIXES)} file"
            )
        yield from packages


def load() -> tuple[Path, ...]:
    """Returns the packages to hand to MAX, and logs them once per process."""
    return _load(os.environ.get(VARIABLE, ""))


@functools.cache
def _load(value: str) -> tuple[Path, ...]:
    extensions = parse(value)
    for problem in extensions.problems:
        logger.warning("%s: %s", VARIABLE, problem)
    if extensions.paths:
        logger.info("Loading %d custom Mojo extension(s)", len(extensions.paths))
    return extensions.paths
