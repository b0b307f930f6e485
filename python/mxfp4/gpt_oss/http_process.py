"""Makes a token cost the HTTP process less.

It is one process, whatever the number of GPUs, and every token of every stream goes
through it. With many streams it, and not the GPU, says how long a step takes. So what
MAX does there for each token is replaced where that is safe and worth it; each of the
modules named here does one thing, and leaves alone what it does not know. (`choices`
saves nothing: it is about what clients may ask for.)
"""

from __future__ import annotations

import multiprocessing
import sys

from mxfp4.garbage import look_for_garbage_less
from mxfp4.gpt_oss import chunks, streaming

SERVER = "max.serve.api_server"
"""Loaded where there are clients to serve."""


def install() -> None:
    """Does so in the process that serves clients, and in no other."""
    if is_child():
        return
    streaming.install()
    if SERVER not in sys.modules:
        return
    from mxfp4 import measurements
    from mxfp4.gpt_oss import admission, choices, responses

    admission.install()
    choices.install()
    chunks.install()
    responses.install()
    measurements.install()
    look_for_garbage_less()


def is_child() -> bool:
    """Says whether another process of the server started this one.

    A child learns of its parent only after it has read what it is to run, which is
    when this package is imported there.
    """
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    return inheriting or multiprocessing.parent_process() is not None
