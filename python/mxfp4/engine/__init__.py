"""MAX's side of the socket to the front end.

With `VARIABLE` set, `mxfp4.start` has MAX answer at that socket in place of HTTP; see
docs/explanation/engine.md. Importing the package imports nothing of MAX.
"""

from __future__ import annotations

import os

VARIABLE = "MXFP4_ENGINE_SOCKET"
"""Environment variable with the path of the socket at which the front end listens."""


def socket_path() -> str | None:
    """Returns the socket's path, or None where MAX's own HTTP is to answer."""
    return os.environ.get(VARIABLE) or None
