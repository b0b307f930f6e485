"""The process that tries grammars before MAX's worker gets them.

A client writes a grammar, and a few characters can keep xgrammar busy for hours, take
all memory or end the process. So each is compiled here first, in a child that is ended
at its limits, and some of its tokens are followed, as masks may cost much more than the
compilation. What passes costs the model's worker about the same once more.

The vocabulary is loaded once; a child is a copy of this process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import re
import resource
import selectors
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mxfp4.engine import wire
from mxfp4.follow import end_with_parent

SECONDS = 10
"""Processor time that compiling a grammar, and following it a little, may take."""

PATIENCE = 30.0
"""Seconds that it may take where the processors are busy."""

MEMORY = 2 << 30
"""Bytes of memory beyond the vocabulary's."""

COMPILED = 256 << 20
"""Bytes that a compiled grammar may have: the worker keeps 512 MB of them."""

TOKEN = 0.1
"""Seconds of processor time that one token may take, for which a batch waits."""

MEAN = 0.01
"""Seconds of processor time that a token may take on average.

A string of bounded length takes 20 ms where its last characters are open, and less
before: one slow token is right, many are not.
"""

TOKENS = 128
"""Tokens that are followed."""

REPEATS = 3
"""Measurements of a slow mask; the fastest counts, as the others were disturbed."""

AT_ONCE = max(1, min(4, (os.cpu_count() or 2) // 4))
"""Grammars that are tried at once; the others wait."""

STACK = 4 << 20
"""Bytes of the stack that a grammar is compiled on: less than the worker's threads
have, so what is nested too deep for them ends the child."""

PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: ")
"""Where xgrammar's source raised an error."""


class Asked(msgspec.Struct):
    """A grammar to try."""

    id: int
    grammar: str


class Told(msgspec.Struct):
    """What is wrong with a grammar; None where it can be used."""

    id: int
    error: str | None


@dataclass
class Child:
    """A grammar that is being tried."""

    id: int
    pid: int
    until: float


def main() -> None:
    """Answers at the descriptor that the command line names until its end.

    The vocabulary comes by standard input: the arguments of `Grammars`.
    """
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as link:
        arguments = pickle.load(sys.stdin.buffer)
        Tester(Grammars(**arguments), link).run()


class Grammars:
    """Tries grammars as the model's worker would use them."""

    def __init__(self, vocab_size: int, **arguments: Any) -> None:
        from max.pipelines.lib.pipeline_variants.structured_output_backend import (
            make_grammar_backend,
        )

        self._backend: Any = make_grammar_backend(
            "xgrammar", vocab_size=vocab_size, **arguments
        )
        self._vocabulary = vocab_size

    def find_error(self, grammar: str) -> str:
        """Returns what is wrong with a grammar, or nothing."""
        try:
            matcher = self._backend.create_matcher(grammar)
            size = int(self._backend._compiler._impl.cache_size_bytes)
            if size > COMPILED:
                return f"it takes {size >> 20} MB, and may take {COMPILED >> 20}"
            return self._find_slow(matcher)
        except MemoryError:
            return "it is too large to compile"
        except Exception as error:
            return reason(error)

    def _find_slow(self, matcher: Any) -> str:
        """Draws some of its tokens; returns what of it takes too long, or nothing."""
        import numpy as np

        draw = random.Random(0)
        row = self._backend.allocate_token_bitmask(1, self._vocabulary)
        ends = set(matcher._matcher.stop_token_ids)
        total = accepting = 0.0

        def fill() -> float:
            begun = time.thread_time()
            self._backend.fill_next_token_bitmask(matcher, row, 0)
            return time.thread_time() - begun

        for _ in range(TOKENS):
            took = accepting + fill()
            if took > MEAN:
                again = (fill() for _ in range(REPEATS - 1))
                took = min(took, accepting + min(again))
            total += took
            for seconds, most, sort in (
                (took, TOKEN, ""),
                (total / TOKENS, MEAN, " on average"),
            ):
                if seconds > most:
                    return (
                        f"following it takes more than {most * 1e3:.0f} ms a "
                        f"token{sort}"
                    )
            bits = np.unpackbits(row.view(np.uint8), bitorder="little")
            allowed = [
                int(token) for token in np.flatnonzero(bits) if token not in ends
            ]
            if not allowed:
                break
            token = draw.choice(allowed)
            begun = time.thread_time()
            matcher.try_consume_tokens([token])
            accepting = time.thread_time() - begun
        return ""


class Tester:
    """Tries what comes by a connection."""

    def __init__(self, grammars: Grammars, link: socket.socket) -> None:
        self._grammars = grammars
        self._link = link
        self._read = bytearray()
        self._waiting: list[Asked] = []
        self._children: dict[int, Child] = {}
        """By the descriptors that their answers come by."""
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Does so until the connection ends."""
        self._selector.register(self._link, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._moment()):
                if key.fileobj is self._link:
                    if not self._receive():
                        return
                else:
                    self._finish(key.fd)
            now = time.monotonic()
            for child in self._children.values():
                if child.until < now:
                    os.kill(child.pid, signal.SIGKILL)
            while self._waiting and len(self._children) < AT_ONCE:
                self._start(self._waiting.pop(0))

    def _moment(self) -> float | None:
        """Seconds until a child may have to be ended."""
        ends = [child.until for child in self._children.values()]
        return max(0.01, min(ends) - time.monotonic()) if ends else None

    def _receive(self) -> bool:
        data = self._link.recv(1 << 16)
        self._read += data
        while len(self._read) >= wire.LENGTH:
            end = wire.LENGTH + wire.length(bytes(self._read[: wire.LENGTH]))
            if len(self._read) < end:
                break
            frame = bytes(self._read[wire.LENGTH : end])
            self._waiting.append(msgspec.msgpack.decode(frame, type=Asked))
            del self._read[:end]
        return bool(data)

    def _start(self, asked: Asked) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            answer(self._grammars, asked.grammar, writing)
        os.close(writing)
        self._children[reading] = Child(asked.id, pid, time.monotonic() + PATIENCE)
        self._selector.register(reading, selectors.EVENT_READ)

    def _finish(self, descriptor: int) -> None:
        """Passes on a child's answer, which it writes at once, or that it has none."""
        child = self._children.pop(descriptor)
        self._selector.unregister(descriptor)
        with os.fdopen(descriptor, "rb") as file:
            answer = file.read()
        _, status = os.waitpid(child.pid, 0)
        error = answer.decode() if answer else why(status)
        # The first character tells an answer from none.
        told = Told(child.id, error[1:] or None)
        frame = msgspec.msgpack.encode(told)
        self._link.sendall(len(frame).to_bytes(wire.LENGTH, "little") + frame)


def why(status: int) -> str:
    """Says why a child did not answer."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return f"!it takes more than {SECONDS} s to compile"
    return "!it is too large or nested too deep to compile"


def answer(grammars: Grammars, grammar: str, writing: int) -> None:
    """Tries a grammar in a child of this process, tells the error and ends it."""
    end_with_parent(signal.SIGKILL)
    error: list[str] = []

    def run() -> None:
        error.append(grammars.find_error(grammar))

    with contextlib.suppress(BaseException):
        limit()
        threading.stack_size(STACK)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        os.write(writing, f"={error[0][:2000]}".encode(errors="replace"))
    os._exit(0)


def limit() -> None:
    """Sets this process's limits."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    before = int(time.process_time())
    seconds = before + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def reason(error: Exception) -> str:
    """Returns what an error says, without where it was raised."""
    text = str(error).strip()
    details = getattr(error, "errors", None)
    if callable(details):
        # Of a tag that is none, pydantic says much more than a sentence.
        found = details()[0]
        place = ".".join(str(part) for part in found.get("loc", ()))
        text = f"{place}: {found['msg']}" if place else str(found["msg"])
    return PLACE.sub("", text) or type(error).__name__


if __name__ == "__main__":
    main()
