"""Keeps Python to the packages that were carried with MAX.

An SDK that is no virtual environment is found by `PYTHONPATH`, and beside it stand the
packages of whichever Python runs. MAX takes none of them on purpose, but transformers
loads torch wherever it sees it, in each of the server's processes, for seconds.
"""

from __future__ import annotations

import importlib.util
import os
import site
import sys


def keep_to_sdk() -> None:
    """Takes the interpreter's own packages off the search path, unless MAX is one.

    What `PYTHONPATH` names stays. The processes that MAX starts inherit the path.
    """
    spec = importlib.util.find_spec("max")
    if spec is None:
        return
    places = spec.submodule_search_locations or ()
    others = {*site.getsitepackages(), site.getusersitepackages()}
    if not others.isdisjoint(os.path.dirname(place) for place in places):
        return
    others.difference_update(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [folder for folder in sys.path if folder not in others]
