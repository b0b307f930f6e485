"""Makes a step cost the model worker less.

With many requests its one thread, and not the GPU, says how long a step takes: what
MAX does there for each request of a batch is small, but is done again and again. The
modules named here each replace some of that with what has the same effect, in the
model worker alone. They follow MAX's own code closely, so they are for the one version
of it that they were compared with; another runs as it is.

`VARIABLE` turns it off.
"""

from __future__ import annotations

import multiprocessing
import os
from importlib.metadata import version

from mxfp4.garbage import look_for_garbage_less

VARIABLE = "MXFP4_LEAN_WORKER"
"""Environment variable that turns it off with `0`."""

MAX = "26.7.0"
"""The version of MAX that the modules were compared with."""


def install() -> None:
    """Does so in a process that another one started, with MAX as it is known."""
    if os.environ.get(VARIABLE) == "0":
        return
    if not is_child() or version("max") != MAX:
        return
    replace()


def is_child() -> bool:
    """Says whether another process of the server started this one.

    A child learns of its parent only after it has read what it is to run, which is
    when this package is imported there.
    """
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    return inheriting or multiprocessing.parent_process() is not None


def replace() -> None:
    """Does so in this process."""
    # They name much of MAX's that another version may lack.
    from mxfp4.max_patches import decode_steps, pages, request_state

    request_state.install()
    pages.install()
    decode_steps.install()
    # MAX takes what is there before the first request out of the search for garbage;
    # what comes later need not be searched several times a step.
    look_for_garbage_less()
