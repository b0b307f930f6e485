"""MAX's real server with its dummy model, which repeats what it is told.

A virtual Hopper takes the place of the GPU (`virtual_gpu.py`, which the tests of `mxfp4
serve` use too); the architecture, the tokenizer, the scheduler and HTTP are the real
ones.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VIRTUAL_GPU = Path(__file__).with_name("virtual_gpu.py")
PATIENCE = 600.0
"""Seconds that a start may take on a busy machine, or a request."""


@dataclass(frozen=True)
class Reply:
    """What came back for a request."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """The events of a stream, which must have ended as it should."""
        lines = [line for line in self.text.splitlines() if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]", self.text[-500:]
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


class Server:
    """A running server."""

    def __init__(
        self, home: Path, model: Path, package: Path, **variables: str
    ) -> None:
        self.model = str(model)
        self.port, self.metrics_port = free_ports()
        self._log_file = home / "log"
        module = "max._entrypoints.pipelines"
        address = ("--host", "127.0.0.1", "--port", str(self.port))
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*command(module, model), *address],
                env=environment(home, package, self.metrics_port) | variables,
                cwd=home,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Server:
        end = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self.log()
            try:
                if self.get("/health").status == 200:
                    return self
            except OSError:
                pass
            assert time.monotonic() < end, self.log()
            time.sleep(0.5)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What the server has said."""
        return self._log_file.read_text(errors="replace")

    def get(self, path: str, port: int | None = None) -> Reply:
        """Asks for a page."""
        return self._ask(path, None, port)

    def post(self, path: str, **body: object) -> Reply:
        """Sends a request for this model, unless the body names another."""
        return self._ask(path, json.dumps({"model": self.model} | body).encode())

    def chat(self, content: str, **more: object) -> Reply:
        """Sends one message of a user's."""
        messages = [{"role": "user", "content": content}]
        return self.post("/v1/chat/completions", messages=messages, **more)

    def metric(self, name: str) -> float:
        """The sum of a metric's values."""
        lines = self.get("/metrics", self.metrics_port).text.splitlines()
        found = [line.split() for line in lines if line.startswith(name)]
        return sum(float(words[-1]) for words in found)

    def _ask(self, path: str, body: bytes | None, port: int | None = None) -> Reply:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.port}{path}",
            body,
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as reply:
                return Reply(reply.status, dict(reply.headers), reply.read().decode())
        except urllib.error.HTTPError as error:
            return Reply(error.code, dict(error.headers), error.read().decode())


def command(module: str, model: Path) -> list[str]:
    """Returns how a server of `model` is started, by `module`."""
    return [
        # Whoever runs the tests may ignore signals.
        *("/usr/bin/env", "--default-signal=HUP,INT,QUIT,TERM"),
        *(sys.executable, "-m", *module.split(), "serve"),
        *("--model", str(model), "--devices", "gpu", "--force"),
        *("--quantization-encoding", "float4_e2m1fnx2"),
        *("--custom-architectures", "mxfp4.gpt_oss"),
        *("--tool-call-policy", "force_unconstrained"),
    ]


def environment(home: Path, package: Path, metrics_port: int) -> dict[str, str]:
    """Returns a server's variables, with a virtual GPU and the dummy model."""
    shutil.copy(VIRTUAL_GPU, home / "sitecustomize.py")
    return dict(os.environ) | {
        "PYTHONPATH": search_path(home),
        "MAX_CUSTOM_EXTENSIONS": str(package),
        "MAX_SERVE_DUMMY_MODEL": "1",
        "MAX_SERVE_METRICS_ENDPOINT_PORT": str(metrics_port),
        "MODULAR_CACHE_DIR": str(home / "cache"),
        "MODULAR_TELEMETRY_ENABLED": "0",
        "OTEL_SDK_DISABLED": "true",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(home),
    }


def search_path(home: Path) -> str:
    """Returns where a server finds its modules: those in `home` first."""
    # An SDK that is no virtual environment is found by the path alone.
    path = [str(home), str(ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, path))


def free_ports() -> tuple[int, int]:
    """Returns two ports at which nothing listens."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
