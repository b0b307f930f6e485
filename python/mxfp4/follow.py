"""Ends the processes that MAX spawns with the one that spawned them.

MAX ends them when it ends itself. Where it is killed they would stay: the model's
process would hold the GPU.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from multiprocessing import context
from typing import Any

PR_SET_PDEATHSIG = 1


class Following:
    """Runs a function in a process that ends with its parent."""

    def __init__(self, target: Callable[..., Any], parent: int) -> None:
        self.target = target
        self.parent = parent

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        end_with_parent(signal.SIGKILL)
        if os.getppid() != self.parent:
            # It ended before the kernel knew.
            os._exit(1)
        return self.target(*args, **kwargs)


def install() -> None:
    """Has every process that is spawned from now on end with this one."""
    popen = context.SpawnProcess._Popen

    def following(process: Any) -> Any:
        if process._target is not None:
            process._target = Following(process._target, os.getpid())
        return popen(process)

    context.SpawnProcess._Popen = staticmethod(following)


def end_with_parent(number: int) -> None:
    """Has the kernel send this process the signal `number` when the parent ends.

    The parent is the thread that started this process: MAX's main thread.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
