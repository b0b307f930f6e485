"""Says whether kernel packages can be loaded by this MAX and hold our ops.

    python -m mxfp4.check PACKAGE...

Prints one line and exits 0 when they do, 1 when they do not. Needs no GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from mxfp4.kernels import custom_extensions

OLD_SUFFIX = ".mojopkg"


def problem(value: str) -> str | None:
    """Returns what is wrong with the packages, or None.

    Args:
        value: Packages as `MAX_CUSTOM_EXTENSIONS` lists them.
    """
    extensions = custom_extensions.parse(value)
    if extensions.problems:
        return "; ".join(extensions.problems)
    old = [str(path) for path in extensions.paths if path.suffix == OLD_SUFFIX]
    if old:
        return (
            f"{', '.join(old)}: made by an older Mojo compiler; this MAX loads .mojoc "
            "files. Build it again with `mxfp4 build`"
        )
    if not extensions.paths:
        return "no package given"

    # Importing MAX takes a second; the checks above need none of it.
    from max.graph.graph import KernelLibrary

    from mxfp4.kernels import ops

    packages = ", ".join(map(str, extensions.paths))
    library = KernelLibrary()
    with _native_stderr() as native:
        try:
            library.load_paths(extensions.paths)
            # Packages are read when the names are first asked for.
            registered = set(library)
            reason = None
        except Exception as error:
            reason = (native() or str(error)).strip().partition("\n")[0]
    if reason is not None:
        return (
            f"{packages}: this MAX cannot load it, most likely because another "
            f"compiler version built it or the file is damaged ({reason}). Build it "
            "again with `mxfp4 build`"
        )
    missing = [
        " or ".join(names)
        for names in ops.required_names()
        if registered.isdisjoint(names)
    ]
    if missing:
        return f"{packages}: does not register {', '.join(missing)}"
    return None


@contextlib.contextmanager
def _native_stderr() -> Iterator[Callable[[], str]]:
    """Collects what native code writes to stderr, where it puts the real cause."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:

        def text() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        os.dup2(file.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.check",
        description="Check that MAX can load kernel packages and finds our ops.",
    )
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    args = parser.parse_args(arguments)
    if message := problem(":".join(args.packages)):
        print(f"error: {message}", file=sys.stderr)
        return 1
    print(f"ok: {', '.join(args.packages)} loads and registers the MXFP4 ops")
    return 0


if __name__ == "__main__":
    sys.exit(main())
