"""Runs a module as `python -m` does, and ends the process at once when it is done.

    python -m mxfp4.run_module MODULE [ARG]...

Without this, about one in three runs of MAX's `warm-cache` that find everything in
the cache is aborted after its work is done ("terminate called without an active
exception"): threads of the runtime still release Python objects while the
interpreter is being torn down.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys


def main() -> int:
    """Runs the module of the command line and returns its exit code."""
    if len(sys.argv) < 2:
        print("usage: python -m mxfp4.run_module MODULE [ARG]...", file=sys.stderr)
        return 2
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # An exception is left to the interpreter, which prints it.
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
