"""Puts the engine in the place of MAX's HTTP server.

MAX starts its model worker and all that belongs to it in `lifespan`, and runs uvicorn's
`Server` inside. Here that server is ours, and no port is bound.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

from mxfp4.engine import names


def install() -> None:
    """Does so when MAX loads the module of its server, as MAX's command line goes."""
    try:
        names.check_module()
    except names.MovedError as error:
        sys.exit(f"mxfp4: {error}")
    if names.SERVE in sys.modules:
        change(sys.modules[names.SERVE])
    else:
        sys.meta_path.insert(0, _Finder())


def change(module: ModuleType) -> None:
    """Changes the module of MAX's server."""
    try:
        names.check()
    except names.MovedError as error:
        sys.exit(f"mxfp4: {error}")
    from max.serve.worker_interface.zmq_interface import ZmqModelWorkerProxy

    from mxfp4.engine.server import EngineServer, no_responses

    ZmqModelWorkerProxy.response_worker = no_responses  # type: ignore[method-assign]
    module.Server = EngineServer  # type: ignore[attr-defined]
    module.validate_port_is_free = lambda port: port  # type: ignore[attr-defined]
    logging.getLogger("max.serve").addFilter(_is_true)


def _is_true(record: logging.LogRecord) -> bool:
    """Leaves out that MAX serves at a port, where nothing listens."""
    return "Server ready on http" not in record.getMessage()


class _Finder(importlib.abc.MetaPathFinder):
    """Changes the module right after it was loaded."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != names.SERVE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec
