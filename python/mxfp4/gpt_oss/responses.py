"""Hands what the model worker sends to the streams that wait for it.

A step's tokens come in one message, and each goes into the queue of its stream. Where
this process is behind, several tokens of a stream lie there, and MAX makes one event of
them. What is replaced here is how they come there.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

from max.pipelines.modeling.types import RequestID
from max.serve.worker_interface.zmq_interface import ZmqModelWorkerProxy

from mxfp4.gpt_oss.worker_process import MAX


def install() -> None:
    """Does so in this process from now on, with MAX as it is known."""
    if (
        version("max") != MAX
        or ZmqModelWorkerProxy.response_worker.__module__ == __name__
    ):
        return

    # A request's id comes with each of its tokens, as another object each time. MAX
    # builds tuples to look one up.
    def request_hash(self: Any) -> int:
        return hash(self.value)

    def is_equal(self: Any, other: object) -> Any:
        if type(other) is RequestID:
            return self.value == other.value
        return NotImplemented

    async def response_worker(self: Any) -> None:
        queues = self.pending_out_queues
        while True:
            responses = await self.response_queue.get()
            now = time.monotonic()
            for request_id, response in responses.items():
                queue = queues.get(request_id)
                if queue is not None:
                    # It has no bound, so nobody has to wait.
                    queue.put_nowait((now, response))

    RequestID.__hash__ = request_hash  # type: ignore[method-assign]
    RequestID.__eq__ = is_equal  # type: ignore[method-assign]
    ZmqModelWorkerProxy.response_worker = response_worker  # type: ignore[method-assign]
