"""A front end for tests: it listens, starts MAX with the engine, and asks it.

A virtual Hopper takes the place of the GPU and MAX's dummy model, which repeats the
prompt, that of GPT-OSS; the rest is real.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mxfp4.engine import VARIABLE, wire
from server import PATIENCE, command, environment, free_ports

MARK = "MXFP4_TEST_MARK"
"""Variable by which the processes of one start are found."""


class Peer:
    """The front end's end of one connection."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.link.settimeout(PATIENCE)
        self._read = b""

    def send(self, name: str, content: Any) -> None:
        """Sends a message."""
        self.link.sendall(wire.pack(name, content))

    def receive(self) -> tuple[str, Any]:
        """Waits for a message; returns its name and content."""
        head = self._take(wire.LENGTH)
        found = msgspec.msgpack.decode(self._take(wire.length(head)))
        [(name, content)] = found.items()
        return name, content

    def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            piece = self.link.recv(1 << 16)
            if not piece:
                raise EOFError
            self._read += piece
        taken, self._read = self._read[:count], self._read[count:]
        return taken


class FrontEnd:
    """A front end and the MAX that it started."""

    def __init__(
        self,
        home: Path,
        model: Path,
        package: Path,
        change: str = "",
        flags: tuple[str, ...] = (),
        **variables: str,
    ) -> None:
        self.home = home
        self.listener = socket.socket(socket.AF_UNIX)
        self.path = home / "engine"
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(PATIENCE)
        self.peers: list[Peer] = []
        _, self.metrics_port = free_ports()
        self._mark = f"{MARK}={home}"
        environ = environment(home, package, self.metrics_port) | {
            VARIABLE: str(self.path),
            MARK: str(home),
        }
        with (home / "sitecustomize.py").open("a") as file:
            file.write(change)
        with self._log().open("wb") as log:
            self.process = subprocess.Popen(
                [*command("mxfp4.start max._entrypoints.pipelines", model), *flags],
                env=environ | variables,
                cwd=home,
                stdout=log,
                stderr=log,
            )
        self.last = 0

    def __enter__(self) -> FrontEnd:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.link.close()
        self.listener.close()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _log(self) -> Path:
        return self.home / "log"

    def log(self) -> str:
        """What MAX has said."""
        return self._log().read_text(errors="replace")

    def accept(self) -> Peer:
        """Waits for a connection; fails where MAX ends instead."""
        end = time.monotonic() + PATIENCE
        while not select.select([self.listener], [], [], 0.5)[0]:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
        peer = Peer(self.listener.accept()[0])
        self.peers.append(peer)
        return peer

    def welcome(self, protocol: int = wire.PROTOCOL) -> dict[str, Any]:
        """Takes the lifeline; returns what it says."""
        lifeline = self.accept()
        name, content = lifeline.receive()
        assert name == "lifeline"
        lifeline.send("welcome", {"protocol": protocol})
        return content

    def ready(self) -> dict[str, Any]:
        """Waits until the model is loaded; returns what the engine says of itself."""
        self.welcome()
        self.engine = self.accept()
        name, content = self.engine.receive()
        assert name == "hello"
        return content

    def ask(self, prompt: list[int], **more: Any) -> int:
        """Sends a request; returns its number."""
        self.last += 1
        request = {"prompt": prompt} | more
        self.engine.send("generate", {"id": self.last, "request": request})
        return self.last

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What comes, each step's rows and single tokens as rows."""
        while True:
            name, content = self.engine.receive()
            if name != "step":
                yield name, content
                continue
            pairs = zip(content.get("ids", []), content.get("tokens", []), strict=True)
            for number, token in pairs:
                yield "row", {"id": number, "tokens": [token]}
            for row in content.get("rows", []):
                yield "row", row

    def answers(self, *numbers: int) -> dict[int, dict[str, Any]]:
        """Reads until these requests have ended; returns what became of each."""
        made: dict[int, dict[str, Any]] = {number: {"tokens": []} for number in numbers}
        waiting = set(numbers)
        for name, content in self.messages():
            if content["id"] not in waiting:
                continue
            answer = made[content["id"]]
            if name == "error":
                answer |= content
            else:
                answer["tokens"] += content.pop("tokens", [])
                answer |= content
            if name == "error" or "finish" in content:
                waiting.remove(content["id"])
            if not waiting:
                return made
        raise AssertionError

    def answer(self, prompt: list[int], **more: Any) -> dict[str, Any]:
        """Sends a request; returns what became of it."""
        number = self.ask(prompt, **more)
        return self.answers(number)[number]

    def left(self) -> list[int]:
        """The processes of MAX's that live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_text(errors="replace")
                state = (folder / "stat").read_text().rpartition(") ")[2][0]
            except OSError:
                continue
            if self._mark in environment.split("\0") and state != "Z":
                found.append(int(folder.name))
        return found

    def named(self, *words: str) -> list[int]:
        """Those whose command lines have one of these words."""
        found = []
        for pid in self.left():
            text = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            if any(word in text for word in words):
                found.append(pid)
        return found

    def await_none(self, seconds: float) -> float:
        """Waits until no process is left; returns how long that took."""
        begun = time.monotonic()
        while left := self.left():
            assert time.monotonic() < begun + seconds, (left, self.log()[-3000:])
            time.sleep(0.01)
        return time.monotonic() - begun
