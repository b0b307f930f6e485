"""Makes a token cost the HTTP process less.

It is one process, whatever the number of GPUs, and every token of every stream goes
through it. With many streams it, and not the GPU, says how long a step takes. So what
MAX does there for each token is replaced where that is safe and worth it; each of the
modules named here does one thing, and leaves alone what it does not know.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys

from mxfp4.gpt_oss import chunks, streaming

SERVER = "max.serve.api_server"
"""Loaded where there are clients to serve."""

YOUNG = 20_000
"""Objects after which Python looks for garbage in cycles; with its own 700 it looks
several times a step, among what the streams are about to use, and finds none."""


def install() -> None:
    """Does so in the process that serves clients, and in no other."""
    if is_child():
        return
    streaming.install()
    if SERVER not in sys.modules:
        return
    from mxfp4 import measurements

    chunks.install()
    measurements.install()
    look_for_garbage_less()


def is_child() -> bool:
    """Says whether another process of the server started this one.

    A child learns of its parent only after it has read what it is to run, which is
    when this package is imported there.
    """
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    return inheriting or multiprocessing.parent_process() is not None


def look_for_garbage_less() -> None:
    """Has this process do so after `YOUNG` objects, or more if that was said before."""
    young, *older = gc.get_threshold()
    gc.set_threshold(max(YOUNG, young), *older)
