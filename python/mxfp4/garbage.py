"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc

YOUNG = 20_000
"""Objects after which Python looks for garbage in cycles; with its own 700 it looks
several times a step, among what the streams are about to use, and finds none. While
MAX is loaded it looks at ever more of what stays for good."""


def look_for_garbage_less() -> None:
    """Has this process do so after `YOUNG` objects, or more if that was said before."""
    young, *older = gc.get_threshold()
    gc.set_threshold(max(YOUNG, young), *older)
