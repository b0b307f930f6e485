"""Takes the place of uvicorn's server in MAX's process."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import Any

from max.pipelines.modeling.types import RequestID
from max.serve.telemetry.metrics import METRICS

from mxfp4.engine import lifeline, names, socket_path, wire
from mxfp4.engine.grammars import Grammars, TooMany
from mxfp4.engine.hello import hello
from mxfp4.engine.requests import Contexts, Refused
from mxfp4.engine.steps import Steps

logger = logging.getLogger("max.serve")

UNREAD = 64 << 20
"""Bytes that may wait for a front end that does not read: a minute of 30,000 tokens a
second. Nothing is lost by a pause of less."""

MOMENT = 1.0
"""Seconds after which measurements are handed on."""


async def no_responses(self: Any) -> None:
    """Leaves the worker's responses to the engine, which reads them itself."""
    await asyncio.Event().wait()


class EngineServer:
    """What MAX runs inside its `lifespan`, with uvicorn's interface."""

    def __init__(self, config: Any) -> None:
        self._state = config.app.state

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers the front end until either side ends or a signal comes."""
        path = socket_path()
        assert path is not None, "the engine is installed where there is one"
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[int] = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, stopped, number)
        pipeline = self._state.pipeline
        names.check_proxy(pipeline.model_worker)
        said = hello(
            pipeline.tokenizer, self._state.pipeline_config, self._state.memory_plan
        )
        reader, writer = await asyncio.open_unix_connection(path)
        lifeline.check_peer(writer.get_extra_info("socket"))
        writer.write(wire.pack("hello", said))
        logger.info("The front end has the engine: %s", said)
        config = self._state.pipeline_config
        contexts = Contexts(pipeline.tokenizer, config, said)
        grammars = Grammars(pipeline.tokenizer, config)
        engine = Engine(pipeline.model_worker, contexts, writer, grammars)
        try:
            if said.grammar:
                await grammars.start()
            number = await engine.run(reader, stopped)
        finally:
            grammars.close()
            writer.close()
        # As MAX's own handlers end it: what was started is ended on the way.
        raise SystemExit(128 + number)


def _stop(stopped: asyncio.Future[int], number: int) -> None:
    if not stopped.done():
        stopped.set_result(number)


class Engine:
    """One connection of a front end to a model's worker."""

    def __init__(
        self,
        proxy: Any,
        contexts: Contexts,
        writer: asyncio.StreamWriter,
        grammars: Grammars,
    ) -> None:
        self._proxy = proxy
        self._contexts = contexts
        self._grammars = grammars
        self._trying: dict[int, asyncio.Task[None]] = {}
        """Requests whose grammars are being tried."""
        self._writer = writer
        self._transport: Any = writer.transport
        self._steps = Steps()
        self._prompt_tokens = 0

    async def run(
        self, reader: asyncio.StreamReader, stopped: asyncio.Future[int]
    ) -> int:
        """Answers until `stopped` has a signal's number, which is returned.

        Where the connection ends, or what comes cannot be read, the process is to end
        with 1, which is raised here.
        """
        tasks = {
            asyncio.create_task(self._read(reader), name="requests"),
            asyncio.create_task(self._answer(), name="steps"),
            asyncio.create_task(self._measure(), name="measurements"),
        }
        try:
            await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        if stopped.done():
            return stopped.result()
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                logger.error("The engine's %s failed.", task.get_name(), exc_info=error)
                raise SystemExit(1)
        logger.error("The front end has closed the connection; the engine ends.")
        raise SystemExit(1)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Takes what the front end sends, in its order, until the end."""
        while (message := await wire.receive(reader)) is not None:
            if message.generate is not None:
                if message.generate.request.grammar is None:
                    await self._generate(message.generate)
                else:
                    self._try(message.generate)
            elif message.cancel is not None:
                self._cancel(message.cancel)
            else:
                raise wire.FrameError("the front end sent a message without content")

    async def _generate(self, asked: wire.Generate) -> None:
        name = str(asked.id)
        try:
            context = await self._contexts.make(name, asked.request)
        except Refused as error:
            self._refuse(asked.id, "invalid", str(error))
            return
        except Exception as error:
            logger.exception("MAX failed at request %s.", name)
            self._refuse(asked.id, "failed", f"{type(error).__name__}: {error}")
            return
        # As the proxy's own `stream` does; the lock makes sure of the room.
        proxy = self._proxy
        async with proxy._admission_lock:
            if not await proxy.request_queue.writable():
                self._refuse(asked.id, "full", "")
                return
            self._steps.begin(asked.id, asked.request.logprobs)
            await proxy.request_queue.put(context)
        self._prompt_tokens += len(asked.request.prompt)

    def _try(self, asked: wire.Generate) -> None:
        """Admits a request when its grammar is known to be one; others go on."""

        async def run() -> None:
            if await self._is_usable(asked):
                await self._generate(asked)

        task = asyncio.create_task(run(), name=f"request {asked.id}")
        self._trying[asked.id] = task
        task.add_done_callback(lambda _: self._trying.pop(asked.id, None))

    async def _is_usable(self, asked: wire.Generate) -> bool:
        request = asked.request
        assert request.grammar is not None
        try:
            self._contexts.check(request)
            error = await self._grammars.find_error(request.grammar)
            if error is None:
                return True
            raise Refused(f"the grammar cannot be used: {error}")
        except Refused as error:
            self._refuse(asked.id, "invalid", str(error))
        except TooMany:
            self._refuse(asked.id, "full", "too many grammars wait to be compiled")
        except Exception as error:
            logger.exception("The grammar of request %s was not tried.", asked.id)
            self._refuse(asked.id, "failed", f"{type(error).__name__}: {error}")
        return False

    def _cancel(self, ids: list[int]) -> None:
        for id in ids:
            trying = self._trying.get(id)
            if trying is not None and str(id) not in self._steps.live:
                trying.cancel()
            name = str(id)
            if self._steps.live.pop(name, None) is not None:
                self._proxy.cancel(RequestID(name))

    async def _answer(self) -> None:
        """Sends what the worker makes, a frame a step."""
        receive = self._proxy.response_queue.get
        steps = self._steps
        while True:
            step, errors = steps.pack(await receive())
            if step.ids or step.rows:
                self._send("step", step)
            for error in errors:
                self._send("error", error)
            if steps.strays:
                # MAX forgets a cancellation that overtakes its request.
                for name in steps.strays:
                    self._proxy.cancel(RequestID(name))
                steps.strays.clear()

    def _refuse(self, id: int, kind: str, message: str) -> None:
        self._send("error", wire.Error(id, kind, message))

    def _send(self, name: str, content: Any) -> None:
        self._writer.write(wire.pack(name, content))
        waiting = self._transport.get_write_buffer_size()
        if waiting > UNREAD:
            raise RuntimeError(
                f"the front end does not read: {waiting} bytes wait for it"
            )

    async def _measure(self) -> None:
        """Counts tokens and requests for MAX's own metrics, as its routes would."""
        steps = self._steps
        running = 0
        while True:
            await asyncio.sleep(MOMENT)
            if steps.tokens:
                METRICS.output_tokens(steps.tokens)
                steps.tokens = 0
            if self._prompt_tokens:
                METRICS.input_tokens(self._prompt_tokens)
                self._prompt_tokens = 0
            if len(steps.live) != running:
                METRICS.reqs_running(len(steps.live) - running)
                running = len(steps.live)
