"""Applies patches to a MAX whose source they were made for, and undoes them."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from typing import Any

from mxfp4.garbage import look_for_garbage_less
from mxfp4.max_patches.catalog import FEATURES, LEAN
from mxfp4.max_patches.patch import (
    MAX,
    Patch,
    Patches,
    unwrapped,
    wrapped_like,
)
from mxfp4.max_patches.process import is_child

logger = logging.getLogger("max.pipelines.mxfp4")

BY_NAME = {feature.name: feature for feature in FEATURES}


class Kind(str, Enum):
    """Whether a MAX gets a patch, and why not."""

    APPLIES = "applies"
    OFF = "off"
    VERSION = "version"
    LACKS = "lacks"
    SOURCE = "source"
    NEEDS = "needs"


REASONS: dict[Kind, Callable[[str], str]] = {
    Kind.APPLIES: lambda _: "it applies",
    Kind.OFF: lambda where: f"{where} turns it off",
    Kind.VERSION: lambda _: f"it is for {MAX} alone",
    Kind.LACKS: lambda where: f"this MAX lacks what it replaces ({where})",
    Kind.SOURCE: lambda where: f"the source of {where} is not that of {MAX}",
    Kind.NEEDS: lambda where: f"it is of no use without {where}",
}


@dataclass(frozen=True)
class State:
    """What this MAX makes of a feature."""

    kind: Kind
    where: str = ""
    """The function, variable or feature that is the reason."""

    @property
    def is_skipped(self) -> bool:
        """Whether it is missing without anyone having asked for that."""
        return self.kind not in (Kind.APPLIES, Kind.OFF)

    @property
    def reason(self) -> str:
        """The kind, in a clause."""
        return REASONS[self.kind](self.where)


@dataclass(frozen=True)
class _Applied:
    feature: str
    patch: Patch
    before: Any
    is_own: bool
    """Whether the owner itself had it, and no class above."""

    def undo(self) -> None:
        if self.is_own:
            setattr(self.patch.owner, self.patch.name, self.before)
        else:
            delattr(self.patch.owner, self.patch.name)


_applied: list[_Applied] = []
"""In the order in which they were."""


class RefusedError(RuntimeError):
    """A patch that answers depend on cannot be applied."""


def patches_of(name: str) -> Patches:
    """Returns the patches of a feature; imports what they replace."""
    module = importlib.import_module(f"mxfp4.max_patches.{name}")
    patches: Patches = module.PATCHES
    return patches


def is_applied(name: str) -> bool:
    """Says whether a feature is in force in this process."""
    return any(applied.feature == name for applied in _applied)


def state(name: str) -> State:
    """Returns what this MAX makes of a feature, and changes nothing."""
    feature = BY_NAME[name]
    if feature.variable and os.environ.get(feature.variable) == "0":
        return State(Kind.OFF, f"{feature.variable}=0")
    if feature.exact and version("max") != MAX:
        return State(Kind.VERSION)
    for other in feature.needs:
        if state(other).kind is not Kind.APPLIES:
            return State(Kind.NEEDS, other)
    try:
        patches = patches_of(name)
    except (ImportError, AttributeError) as error:
        return State(Kind.LACKS, str(error))
    for patch in patches:
        try:
            found = patch.digest(_original(patch))
        except AttributeError:
            return State(Kind.LACKS, str(patch))
        except OSError:
            # A MAX without sources is none that is known.
            found = ""
        if found != patch.source_hash:
            return State(Kind.SOURCE, str(patch))
    return State(Kind.APPLIES)


def _original(patch: Patch) -> Any:
    """Returns what MAX has there, whatever is there now."""
    for applied in _applied:
        if applied.patch.owner is patch.owner and applied.patch.name == patch.name:
            return applied.before
    return inspect.getattr_static(patch.owner, patch.name)


def apply(name: str) -> State:
    """Applies all patches of a feature, or none where MAX is not as they need it."""
    found = state(name)
    if found.kind is not Kind.APPLIES or is_applied(name):
        return found
    made = []
    for patch in patches_of(name):
        standing = inspect.getattr_static(patch.owner, patch.name)
        new = wrapped_like(standing, patch.replacement(unwrapped(standing)))
        is_own = patch.name in vars(patch.owner)
        made.append((_Applied(name, patch, standing, is_own), new))
    for applied, new in made:
        setattr(applied.patch.owner, applied.patch.name, new)
        _applied.append(applied)
    return found


def undo(*names: str) -> None:
    """Takes features back, all of them where none is named."""
    # One may stand on another, so they are taken off in turn, and put back.
    kept = dict.fromkeys(applied.feature for applied in _applied)
    while _applied:
        _applied.pop().undo()
    for name in kept:
        if names and name not in names:
            apply(name)


def install() -> None:
    """Applies what this process of a server is to have.

    The process that the others come from says once what is skipped, also of theirs.

    Raises `RefusedError` where answers depend on a patch that this MAX does not get.
    """
    is_worker = is_child()
    skipped = {}
    for feature in FEATURES:
        is_here = is_worker or not feature.worker_only
        found = apply(feature.name) if is_here else state(feature.name)
        if found.is_skipped and feature.needed:
            raise RefusedError(
                f"MAX {version('max')} cannot be served: the patch {feature.name} does "
                f"not apply, because {found.reason}; without it {feature.without}. "
                f"Use MAX {MAX}, or report it"
            )
        if found.is_skipped:
            skipped[feature.name] = found
    if not is_worker:
        _tell(skipped)
    if is_worker and os.environ.get(LEAN) != "0":
        # MAX takes what is there before the first request out of the search for
        # garbage; what comes later need not be searched several times a step.
        look_for_garbage_less()


def _tell(skipped: dict[str, State]) -> None:
    """Logs a line for each cause, with what goes with it."""
    for name, found in skipped.items():
        if found.kind is Kind.NEEDS:
            continue
        costs = [f"without it {BY_NAME[name].without}"]
        for other, why in skipped.items():
            if why == State(Kind.NEEDS, name):
                costs.append(f"{other} goes with it: {BY_NAME[other].without}")
        logger.warning(
            "MAX %s is served without the patch %s, because %s; %s.",
            version("max"),
            name,
            found.reason,
            "; ".join(costs),
        )


__all__ = [
    "BY_NAME",
    "Kind",
    "RefusedError",
    "State",
    "apply",
    "install",
    "is_applied",
    "patches_of",
    "state",
    "undo",
]
