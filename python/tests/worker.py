"""MAX's scheduler and its pipeline with overlap, on a host without a GPU.

All that the model worker's thread does in a step is MAX's own (or what replaces it):
batches, pages, inputs, sampling, outputs, measurements. Replaced are the device and
what runs there. The tokens that it makes up depend on all that the device would read
(tokens, lengths, pages, sampling), so another token tells of another input.

    python tests/worker.py [--requests 64,128] [--steps 400] [--lean] [--profile FILE]

prints what a step costs the thread in microseconds of its own time, without what
stands for the device.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import gc
import multiprocessing
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import zmq
from max import tree
from max.driver import CPU, Buffer
from max.dtype import DType
from max.graph import DeviceRef
from max.nn.kv_cache import MultiKVCacheParams
from max.nn.kv_cache.cache_params import MHAKVCacheParams
from max.pipelines import graph_input_stager
from max.pipelines.architectures.gpt_oss.model import GptOssInputs as BuiltinInputs
from max.pipelines.context import LogProbabilities, TextContext, TokenBuffer
from max.pipelines.kv_cache.paged_kv_cache.jenga_cache_manager import (
    JengaKVCacheManager,
)
from max.pipelines.lib import ModelOutputs
from max.pipelines.lib.pipeline_variants import overlap_text_generation as overlap
from max.pipelines.lib.pipeline_variants._label_scoring import BatchLabelScorer
from max.pipelines.modeling.types import RequestID
from max.pipelines.sampling import sampling_logits_processor as sampling
from max.serve.scheduler.config import TokenGenerationSchedulerConfig
from max.serve.scheduler.text_generation_scheduler import TokenGenerationScheduler

from mxfp4.garbage import look_for_garbage_less
from mxfp4.gpt_oss.inputs import BatchProcessor
from mxfp4.max_patches.health import COUNT_BYTES

PAGE = 128
VOCABULARY = 1000


class Clock:
    """The thread's time that stands for the device's."""

    def __init__(self) -> None:
        self.spent = 0.0

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.spent += time.thread_time() - start


CLOCK = Clock()


class Device:
    """What the pipeline takes for a GPU."""

    is_host = False

    def __init__(self) -> None:
        self.default_queue = self

    def record_event(self) -> Device:
        return self

    def synchronize(self) -> None:
        pass


DEVICE = Device()


class OnDevice:
    """What the pipeline takes for a buffer of that device's, pinned or on it."""

    device = DEVICE
    pinned = True

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        device: Any = None,
        usage: Any = None,
        values: Any = None,
    ) -> None:
        self.values = (
            np.full(tuple(shape), 7, dtype.to_numpy()) if values is None else values
        )

    @classmethod
    def from_numpy(cls, values: np.ndarray) -> Self:
        return cls(values=values)

    @property
    def dtype(self) -> Any:
        return DType.from_numpy(self.values.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to_numpy(self) -> np.ndarray:
        return self.values

    def to(self, device: Any) -> OnDevice:
        return type(self)(values=self.values.copy())

    def view(self, dtype: Any, shape: Any) -> OnDevice:
        return type(self)(values=self.values.reshape(shape))

    def inplace_copy_from(self, source: OnDevice) -> None:
        self.values[...] = source.values

    def __getitem__(self, part: Any) -> OnDevice:
        return type(self)(values=self.values[part])


def values_of(buffer: Any) -> np.ndarray:
    found: np.ndarray = buffer.to_numpy()
    return found


class Model:
    """Stands for the model, its captured graphs, and the sampler."""

    max_seq_len: int
    _lora_manager = None

    def __init__(self, max_seq_len: int, seen: list[Any] | None) -> None:
        self._seen = seen
        self.max_seq_len = max_seq_len
        self._max_cache_length_upper_bound = max_seq_len
        signals = [Buffer.zeros([COUNT_BYTES], DType.uint8, CPU())]
        runtime = SimpleNamespace(devices=[CPU()], signal_buffers=signals)
        self._processor: Any = object.__new__(BatchProcessor)
        self._processor.runtime = runtime
        self._processor._started = True

    def prepare_initial_token_inputs(self, *args: Any, **kwargs: Any) -> Any:
        self.last_inputs = self._processor.prepare_initial_token_inputs(*args, **kwargs)
        return self.last_inputs

    def align(self, characteristics: Any) -> Any:
        return characteristics

    def replay(self, *, model_inputs: Any, **_: Any) -> ModelOutputs:
        return self.execute(model_inputs)

    def execute(self, model_inputs: BuiltinInputs) -> ModelOutputs:
        """Returns a number for each request, of all that it reads."""
        with CLOCK.apart():
            offsets = values_of(model_inputs.input_row_offsets[0])
            tokens = values_of(model_inputs.tokens)
            # Where a token stands in its row counts, and not where the row stands.
            at = np.arange(len(tokens)) - np.repeat(offsets[:-1], np.diff(offsets))
            found = np.add.reduceat(tokens * (1 + at % 7), offsets[:-1])
            leaves = tree.leaves(model_inputs.kv_cache_inputs, leaf=Buffer)
            for number, leaf in enumerate(leaves):
                # Of the pages neither the content nor the numbers say anything here.
                if leaf.dtype is DType.uint32 and leaf.rank == 1:
                    lengths = values_of(leaf).astype(np.int64)
                    found = found + (number + 3) * lengths[: len(found)]
                if self._seen is not None and leaf.dtype is not DType.bfloat16:
                    self._seen.append(values_of(leaf).tolist())
            if self._seen is not None:
                self._seen += [offsets.tolist(), tokens.tolist()]
            return ModelOutputs(
                logits=OnDevice(values=found.reshape(-1, 1).astype(np.int64))  # type: ignore[arg-type]
            )

    def compute_log_probabilities(
        self, _: Any, __: Any, ___: Any, tokens: Any, wanted: list[int], *____: Any
    ) -> list[LogProbabilities | None]:
        made = values_of(tokens).tolist()
        return [
            LogProbabilities([-token / 8], [{token: -token / 8}], [token])
            if top
            else None
            for token, top in zip(made, wanted, strict=True)
        ]

    def sampler(self, logits: Any, _: Any, *parameters: Any) -> list[Any]:
        """Returns tokens of those numbers, and of what each request asked for."""
        with CLOCK.apart():
            top_k, max_k, temperature, top_p, min_top_p, min_p, seed = map(
                values_of, parameters
            )
            if self._seen is not None:
                self._seen.append([values_of(each).tolist() for each in parameters])
            mixed = values_of(logits)[:, 0] * 31 + seed.astype(int) % 65521
            mixed = mixed + top_k * 3 + int(max_k) + (temperature * 8).astype(int)
            mixed = mixed + (top_p * 4 + min_p * 2 + min_top_p).astype(int)
            tokens = OnDevice(values=mixed % VOCABULARY)
            return [tokens, OnDevice(values=tokens.values.reshape(-1, 1)), tokens]


class Realize:
    """Stands for the graph that puts tokens where they were to come."""

    def execute(self, *leaves: Any) -> list[Any]:
        with CLOCK.apart():
            to, _, tokens, offsets, made = map(values_of, leaves)
            tokens = tokens.copy()
            for at, token in zip(to.tolist(), made.tolist(), strict=True):
                # What is out of bounds is for no request of this batch.
                if 0 <= at < len(offsets) - 1:
                    tokens[offsets[at + 1] - 1] = token
            return [Buffer.from_numpy(tokens)]


class Outbox:
    """Collects what is sent to the HTTP process, as it is sent."""

    def __init__(self, encode: Callable[[Any], list[bytes]]) -> None:
        self._encode = encode
        self.sent: list[Any] = []

    def put_nowait(self, message: Any) -> None:
        self.sent.append([bytes(frame) for frame in self._encode(message)])


class Inbox:
    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, item: Any) -> None:
        self._queue.put(item)

    def get_nowait(self) -> Any:
        return self._queue.get_nowait()


class Worker:
    """The scheduler and its pipeline. Made while `devices` is open."""

    def __init__(
        self,
        *,
        outbox: Any,
        batch: int = 128,
        pages: int = 1024,
        length: int = 1024,
        most: int = 8192,
        seen: list[Any] | None = None,
        **config: Any,
    ) -> None:
        self.requests, self.cancelled = Inbox(), Inbox()
        self.length = length
        model = Model(length, seen)
        pipeline: Any = object.__new__(overlap.OverlapTextGenerationPipeline)
        pipeline._pipeline_config = SimpleNamespace(
            debug_verify_replay=False,
            needs_bitmask_constraints=False,
            runtime=SimpleNamespace(execute_empty_batches=False),
            sampling=SimpleNamespace(enable_penalties=False, enable_min_tokens=False),
        )
        pipeline._pipeline_model = pipeline._graph_capture_runner = model
        pipeline._max_graph_capture_batch_size = batch
        pipeline._max_batch_size = batch
        pipeline._synthesis_aligner = pipeline._encoder_cache = None
        pipeline._spec_decode_state = None
        pipeline._disable_overlap = False
        pipeline._request_validator = contextlib.nullcontext()
        pipeline._devices = [DEVICE]
        pipeline._sampler_device = DEVICE
        pipeline._sampler_without_bitmask = model.sampler
        pipeline._sampler_with_bitmask = None
        pipeline._pinned_new_tokens = pipeline._identity_logit_offsets = None
        pipeline._pinned_generated_tokens_host = None
        pipeline.session = None
        pipeline._structured_output = SimpleNamespace(enabled=True)
        pipeline._label_scorer = object.__new__(BatchLabelScorer)
        pipeline._prev_batch = None
        pipeline._last_sync_monotonic = pipeline._completed_batch_stats = None
        realize: Any = object.__new__(overlap.RealizeFutureTokenProcessor)
        realize._graph = Realize()
        realize._num_speculative_tokens, realize._num_devices = 0, 1
        realize._enable_dp = realize._sampled_draft_proposal = False
        pipeline._realize_future_token_processor = realize
        pipeline._kv_manager = self.kv = cache(pages, batch, length, most)
        self.pipeline = pipeline
        self.scheduler = TokenGenerationScheduler(
            TokenGenerationSchedulerConfig(
                max_batch_size=batch, target_tokens_per_batch_ce=most, **config
            ),
            pipeline,
            request_queue=self.requests,
            response_queue=outbox,
            cancel_queue=self.cancelled,
            kv_cache=self.kv,
        )

    def add(self, name: str, prompt: Sequence[int], **fields: Any) -> TextContext:
        """Sends a request."""
        fields.setdefault("max_length", self.length)
        ctx = TextContext(
            tokens=TokenBuffer(np.array(prompt)),
            request_id=RequestID(name),
            vocab_size=VOCABULARY,
            **fields,
        )
        self.requests.put(ctx)
        return ctx

    def step(self) -> Any:
        return self.scheduler.run_iteration()


def cache(
    pages: int, batch: int, length: int, most: int | None, *, prefixes: bool = True
) -> Any:
    """MAX's own, with a cache for each kind of GPT-OSS's layers, on the CPU."""

    def of_layers(window: int | None) -> MHAKVCacheParams:
        return MHAKVCacheParams(
            dtype=DType.bfloat16,
            n_kv_heads=1,
            head_dim=2,
            num_layers=1,
            devices=[DeviceRef.CPU()],
            page_size=PAGE,
            enable_prefix_caching=prefixes,
            window_size=window,
        )

    params = MultiKVCacheParams.from_params(
        {"sliding_attention": of_layers(PAGE), "full_attention": of_layers(None)}
    )
    return JengaKVCacheManager.create(
        params=params,
        available_bytes=pages * PAGE * 2 * 2 * 2,
        max_batch_size=batch,
        max_seq_len=length,
        max_num_input_tokens=most,
    )


@contextlib.contextmanager
def devices() -> Iterator[None]:
    """Has the pipeline take `OnDevice` for its buffers."""
    modules: list[Any] = [overlap, sampling]
    own = [module.Buffer for module in modules]
    copy = graph_input_stager.batch_inplace_copy

    def copy_on_device(to: Any, of: Any) -> None:
        with CLOCK.apart():
            copy(to, of)

    graph_input_stager.batch_inplace_copy = copy_on_device
    for module in modules:
        module.Buffer = OnDevice
    try:
        yield
    finally:
        for module, buffer in zip(modules, own, strict=True):
            module.Buffer = buffer
        graph_input_stager.batch_inplace_copy = copy


def _drain(address: Any, measurements: Any) -> None:
    """The other processes: reads what is sent, and forgets it."""
    import threading

    def forget() -> None:
        while True:
            measurements.get()

    threading.Thread(target=forget, daemon=True).start()
    inbox = address.pull()
    while True:
        try:
            inbox.get_nowait()
        except queue.Empty:
            time.sleep(0.002)


async def _measure(options: argparse.Namespace) -> None:
    from max.pipelines.context import TextGenerationOutput
    from max.serve.scheduler_result import SchedulerResult
    from max.serve.telemetry.metrics import METRICS
    from max.serve.telemetry.process_controller import ProcessMetricClient
    from max.serve.worker_interface._zmq_queue import ZmqConfig

    spawn = multiprocessing.get_context("spawn")
    address: Any = ZmqConfig(dict[RequestID, SchedulerResult[TextGenerationOutput]])
    measurements = spawn.Queue()
    other = spawn.Process(target=_drain, args=(address, measurements), daemon=True)
    other.start()
    METRICS.configure(ProcessMetricClient(measurements))
    outbox = address.push()
    assert outbox._socket.poll(60_000, zmq.POLLOUT), "nobody reads what is sent"
    gc.collect()
    gc.freeze()
    for count in options.requests:
        worker = Worker(outbox=outbox, batch=count, pages=count * 12, length=1024)
        for each in range(count):
            worker.add(f"{count} {each}", [each + 1] * 128)
        for _ in range(8):
            worker.step()
        profile = cProfile.Profile() if options.profile else contextlib.nullcontext()
        CLOCK.spent = 0.0
        spent = []
        with profile:
            for _ in range(options.steps):
                before = time.thread_time() - CLOCK.spent
                worker.step()
                spent.append(time.thread_time() - CLOCK.spent - before)
        assert len(worker.scheduler.batch_constructor.all_tg_reqs) == count
        # Other processes on the machine make some steps slower.
        typical, step = np.quantile(np.array(spent) * 1e6, [0.5, 0.1])
        print(
            f"{count} requests: {typical:.0f} us a step, of the fastest {step:.0f} us "
            f"or {step / count:.1f} us a request",
            flush=True,
        )
        if options.profile:
            profile.dump_stats(f"{options.profile}.{count}")
    other.kill()


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--requests", type=numbers, default=[64, 128])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--profile")
    parser.add_argument("--lean", action="store_true", help="with what replaces MAX's")
    options = parser.parse_args()
    from mxfp4.max_patches import registry
    from mxfp4.max_patches.catalog import LEAN_FEATURES

    if options.lean:
        for name in LEAN_FEATURES:
            registry.apply(name)
        look_for_garbage_less()
    with devices():
        asyncio.run(_measure(options))


if __name__ == "__main__":
    main()
