"""Says whether grammars can be used before their requests go to the model's worker.

They are tried in another process, `mxfp4.engine.grammar_process`; here it is started,
asked, and started again where it has ended. What it said of a grammar is remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections import OrderedDict
from typing import Any

import msgspec

from mxfp4.engine import grammar_process, wire
from mxfp4.engine.grammar_process import Asked, Told

logger = logging.getLogger("max.serve")

REMEMBERED = 4096
"""Grammars of which is known whether they can be used."""

WAITING = 256
"""Grammars that may wait for others."""


COMMAND = (sys.executable, "-m", grammar_process.__name__)
"""How the process is started, but for the descriptor that it answers at."""


class TooMany(Exception):
    """More grammars wait than may."""


class Grammars:
    """The grammars of one vocabulary."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        """Takes what the model's worker makes of the same.

        Args:
            tokenizer: MAX's tokenizer of the model.
            config: MAX's configuration of the pipeline.
        """
        self._tokenizer = tokenizer
        self._config = config
        self._known: OrderedDict[bytes, asyncio.Future[str | None]] = OrderedDict()
        self._asked: dict[int, asyncio.Future[str | None]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._count = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    async def find_error(self, grammar: str) -> str | None:
        """Returns what is wrong with a grammar, or None.

        Raises `TooMany` where others wait already.
        """
        key = hashlib.sha256(grammar.encode()).digest()
        answer = self._known.get(key)
        if answer is None:
            if len(self._asked) >= WAITING:
                raise TooMany
            answer = self._ask(key, grammar)
        elif answer.done():
            self._known.move_to_end(key)
        # Who gives up does not take the answer from the others.
        return await asyncio.shield(answer)

    def _ask(self, key: bytes, grammar: str) -> asyncio.Future[str | None]:
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._known[key] = answer
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._count += 1
        id = self._count
        self._asked[id] = answer

        def forget(done: asyncio.Future[str | None]) -> None:
            self._asked.pop(id, None)
            # That it could not be tried says nothing of it.
            if done.cancelled() or done.exception() is not None:
                self._known.pop(key, None)

        answer.add_done_callback(forget)
        # A task of its own: whoever asked first may give up.
        task = asyncio.create_task(self._send(Asked(id, grammar), answer))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return answer

    async def _send(self, asked: Asked, answer: asyncio.Future[str | None]) -> None:
        try:
            await self.start()
            assert self._writer is not None
            frame = msgspec.msgpack.encode(asked)
            self._writer.write(len(frame).to_bytes(wire.LENGTH, "little") + frame)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)

    async def start(self) -> None:
        """Starts the process where there is none."""
        async with self._starting:
            if self._writer is not None:
                return
            loop = asyncio.get_running_loop()
            vocabulary = await loop.run_in_executor(None, self._vocabulary)
            ours, theirs = socket.socketpair()
            with theirs:
                # From this thread: the process ends with the one that starts it.
                process = subprocess.Popen(
                    [*COMMAND, str(theirs.fileno())],
                    # MAX changes its own environment behind Python's back.
                    env=dict(os.environ),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.PIPE,
                )
            self._process = process
            reader, self._writer = await asyncio.open_connection(sock=ours)
            self._reading = loop.create_task(self._read(reader))
            await loop.run_in_executor(None, _give, process, vocabulary)

    def _vocabulary(self) -> bytes:
        """What the process makes of it what the model's worker has."""
        delegate = self._tokenizer.delegate
        whitespace = self._config.sampling.structured_output_any_whitespace
        return pickle.dumps(
            {
                "tokenizer_delegate": delegate,
                "vocab_size": len(delegate),
                "tool_parser_name": self._config.runtime.tool_parser,
                "stop_token_ids": sorted(self._tokenizer.eos_token_ids),
                "any_whitespace": bool(whitespace),
            }
        )

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Takes the answers until the process ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(wire.LENGTH)
                frame = await reader.readexactly(wire.length(head))
                told = msgspec.msgpack.decode(frame, type=Told)
                answer = self._asked.get(told.id)
                if answer is not None and not answer.done():
                    answer.set_result(told.error)
        logger.error("The process that tries grammars has ended; it is started anew.")
        self.close()

    def close(self) -> None:
        """Ends the process; those who wait for it are told that it did."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for answer in list(self._asked.values()):
            if not answer.done():
                answer.set_exception(RuntimeError("grammars cannot be tried"))


def _give(process: subprocess.Popen[bytes], vocabulary: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(vocabulary)
