"""Which of a server's processes this one is."""

from __future__ import annotations

import multiprocessing


def is_child() -> bool:
    """Says whether another process of the server started this one.

    A child learns of its parent only after it has read what it is to run, which is
    when patches are installed there.
    """
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    return inheriting or multiprocessing.parent_process() is not None
