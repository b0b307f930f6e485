"""Takes compiled graphs from a folder that was filled on another machine.

MAX's own compile cache asks for the very device, so what was compiled for a GPU that is
not there is compiled again where it is. MAX can also write a compiled graph to a file
and start from that; here such a file is named after all that its content depends on,
wherever it was made: the graph, the kernel package, the version of MAX, and what host
code is compiled for. A graph without a file is compiled as ever.

``mxfp4 warm`` names the folder to fill in `EXPORT`, ``mxfp4 serve`` the one to take
from in `IMPORT`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from importlib.metadata import version
from pathlib import Path

from max.driver import get_virtual_cpu_target
from max.engine import InferenceSession, MefStore
from max.graph import Graph

from mxfp4.kernels import guard
from mxfp4.max_patches.patch import Patches

logger = logging.getLogger("max.pipelines.mxfp4")

EXPORT = "MXFP4_EXPORT_GRAPHS"
"""Environment variable with the folder that compiled graphs are written to."""
IMPORT = "MXFP4_COMPILED_GRAPHS"
"""Environment variable with the folder that compiled graphs are taken from."""

PATHS = re.compile(r"_kernel_library_paths = \[[^\]]*\]")
"""Where a graph says which packages it needs; their content counts, not their place."""


def file_name(graph: Graph) -> str:
    """Returns the name of the file that holds `graph` compiled.

    The GPU is not part of it, because the kernels run on one architecture alone.
    """
    digest = hashlib.sha256()
    digest.update(PATHS.sub("", repr(graph)).encode())
    digest.update(f"\0{version('max')}\0{get_virtual_cpu_target()}\0".encode())
    for package in guard.require_package():
        # A package is a file, or a folder of sources.
        for path in sorted(package.rglob("*")) if package.is_dir() else [package]:
            if path.is_file():
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    name = re.sub(r"[^A-Za-z0-9_-]", "_", graph.name)
    return f"{name}-{digest.hexdigest()[:32]}.mef"


class CompiledGraphs(MefStore):
    """The files of a folder."""

    @classmethod
    def writing(cls, folder: Path) -> CompiledGraphs:
        """Returns what writes every graph that is compiled into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls((folder,), exporting=True, key=file_name, verify_body=False)

    @classmethod
    def reading(cls, folder: Path) -> CompiledGraphs:
        """Returns what takes the graphs that `folder` has from there."""
        return cls((folder,), exporting=False, key=file_name, verify_body=False)

    def claim_import(self, graph: Graph) -> Path | None:
        path = self.directories[0] / file_name(graph)
        if not path.is_file():
            logger.info("No compiled graph %s", path.name)
            return None
        return path

    def claim_export(self, graph: Graph) -> Path:
        # Under its own name only when it is whole: another process may write it too,
        # and what one that was killed has left is never taken.
        name = file_name(graph)
        path = self.directories[0] / f"{name}.{os.getpid()}.partial"
        with self._lock:
            self._artifacts[name] = path
        return path

    def write_manifest(self) -> None:
        """Gives what was written its name. The names say all: there is no list."""
        with self._lock:
            for name, path in self._artifacts.items():
                path.rename(self.directories[0] / name)
            self._artifacts.clear()


PATCHES = Patches()


@PATCHES.replace(
    InferenceSession, "default_mef_store", "8d5c7d37ed927006", follows=(MefStore,)
)
def _store(standing: MefStore | None) -> MefStore | None:
    """Makes MAX's sessions use the folder that the environment names, if any."""
    if folder := os.environ.get(EXPORT):
        return CompiledGraphs.writing(Path(folder))
    if folder := os.environ.get(IMPORT):
        return CompiledGraphs.reading(Path(folder))
    return standing
