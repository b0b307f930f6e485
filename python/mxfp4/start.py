"""Runs MAX's command line as `python -m` does, and has its server start sooner.

    python -m mxfp4.start MODULE [ARG]...

Python takes seconds to load MAX, and each of the server's processes loads it again.
Here those that are started later begin to load at once; see `mxfp4.ahead`. Where a
front end waits at a socket, MAX answers there in place of HTTP; see `mxfp4.engine`.
"""

from __future__ import annotations

import runpy
import sys

from mxfp4 import ahead, engine, follow
from mxfp4.garbage import look_for_garbage_less
from mxfp4.search_path import keep_to_sdk


def main() -> int:
    """Runs the module of the command line; returns only where there is none."""
    if len(sys.argv) < 2:
        print("usage: python -m mxfp4.start MODULE [ARG]...", file=sys.stderr)
        return 2
    del sys.argv[0]
    change_allocator()
    keep_to_sdk()
    path = engine.socket_path()
    if path is not None:
        from mxfp4.engine import hook, lifeline

        lifeline.connect(path)
        hook.install()
    ahead.start()
    follow.install()
    look_for_garbage_less()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    return 0


def change_allocator() -> None:
    """Restarts the process where MAX is going to: now it has loaded little yet."""
    try:
        from max._entrypoints.allocator import reexec_with_jemalloc
    except ImportError:
        return
    reexec_with_jemalloc()


if __name__ == "__main__":
    sys.exit(main())
