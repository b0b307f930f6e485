"""A function of MAX, what replaces it, and the source that it must have for that."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX = "26.7.0"
"""The version of MAX that the patches were compared with."""

Factory = Callable[[Any], Any]
"""Given what stands in MAX, returns what takes its place."""


@dataclass(frozen=True)
class Patch:
    """Replaces one attribute of a class or a module of MAX."""

    owner: Any
    name: str
    replacement: Factory
    source_hash: str
    """`digest` of the attribute in `max_version`."""
    max_version: str = MAX
    follows: tuple[Any, ...] = ()
    """Other code of MAX's whose source counts, too."""

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"

    def digest(self, standing: Any) -> str:
        """Returns the hash of the source of what stands in MAX."""
        parts = [source(standing, self.owner), *map(inspect.getsource, self.follows)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


class Patches(list[Patch]):
    """The patches of one module, which are applied together or not at all."""

    def replace(
        self, owner: Any, name: str, source_hash: str, follows: tuple[Any, ...] = ()
    ) -> Callable[[Factory], Factory]:
        """Declares a function that makes the replacement of `owner.name`."""

        def declare(replacement: Factory) -> Factory:
            self.append(Patch(owner, name, replacement, source_hash, follows=follows))
            return replacement

        return declare


def source(standing: Any, owner: Any) -> str:
    """Returns the source of an attribute as it is written, comments included.

    That of a value is how it prints. A method that a decorator wrote has none; then the
    class that it belongs to says what it does.
    """
    function = unwrapped(standing)
    if not callable(function):
        return repr(function)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return inspect.getsource(owner)


def unwrapped(standing: Any) -> Any:
    """Returns the function of a class method or of a property."""
    if isinstance(standing, classmethod | staticmethod):
        return standing.__func__
    return standing.fget if isinstance(standing, property) else standing


def wrapped_like(standing: Any, function: Any) -> Any:
    """Returns a function as the class method or property that another was."""
    if isinstance(standing, classmethod | staticmethod | property):
        return type(standing)(function)
    return function
