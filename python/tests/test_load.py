"""A model on a GPU under load and faults: every request has an outcome that is counted.

It is `mxfp4 serve` with the checkpoint of GPT-OSS that MXFP4_LOAD_MODEL names, on a
Hopper GPU that nothing else uses. The longer run: MXFP4_LOAD_REQUESTS=10000. Weights
may be random: an answer must have all its tokens, and a question asked alone must have
the same answer before and after. (The front end's load, before an engine by script, is
tested by `cargo test -p mxfp4-server --test load` on any machine.)
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import socket
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from server import ROOT, search_path

if not os.environ.get("MXFP4_LOAD_MODEL"):
    pytest.skip(
        "skipped: needs a Hopper GPU (sm_90), and a checkpoint that MXFP4_LOAD_MODEL "
        "names",
        allow_module_level=True,
    )

aiohttp = pytest.importorskip(
    "aiohttp", reason="skipped: needs aiohttp, run `mxfp4 setup`"
)

pytestmark = pytest.mark.job(first=True)


REQUESTS = int(os.environ.get("MXFP4_LOAD_REQUESTS", "2000"))
MODEL = os.path.abspath(os.environ["MXFP4_LOAD_MODEL"])
SETTINGS = json.loads((Path(MODEL) / "config.json").read_text())
LAYERS = SETTINGS["num_hidden_layers"]
# Whether answers in company must begin like those given alone. Random weights of many
# layers make of a rounding another token: where a batch adds up in another order,
# answers begin otherwise (docs/benchmarks/accuracy.md).
STEADY = LAYERS <= 4

CLIENTS = 512
PATIENCE = 300
START = 900

# ZeroMQ keeps a queue of this length at both its ends: together they take more than the
# clients of the other tests, and less than the flood.
QUEUE = 300
PENDING = 64
# A model takes 512 requests into its batch before the queue fills, and must not be done
# with those before the last of the flood has come.
FLOOD, FLOOD_TOKENS = 2000, 600 if STEADY else 200

# What the processes may grow by, however many requests they have answered since; and
# what they hold of the GPU's memory.
GROWTH = 64 << 20

# What the KV cache gets of the GPU's memory, so that a test can exceed it: more than
# the longest prompt needs, less than the long prompts do together.
CACHE = 0.46e9 * LAYERS
LONG_PROMPTS, LONG_PROMPT = 56, 10_000
# What MAX plans for a step beside the weights and the cache.
STEP = 5e9

MAX_LENGTH = SETTINGS["max_position_embeddings"]

LETTERS = string.ascii_letters


def question(number: int) -> str:
    """A prompt. Its last token says which one it is, so that answers differ."""
    return f"question {LETTERS[number % len(LETTERS)]}"


RUNNING = "maxserve_num_requests_running"


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    metrics_url: str
    model: str
    log: Path
    alone: dict[str, str] = field(default_factory=dict)
    """What a model answers to each question, asked alone."""

    def processes(self) -> list[int]:
        """MAX and its workers."""
        found, parents = [self.process.pid], [self.process.pid]
        while parents:
            children = Path(f"/proc/{parents.pop()}/task").glob("*/children")
            more = [int(pid) for file in children for pid in file.read_text().split()]
            found += more
            parents += more
        return found

    def memory(self) -> int:
        """Resident bytes of all of them."""
        pages = 0
        for pid in self.processes():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def metric(self, name: str) -> float:
        """The sum of a metric's values."""
        with urllib.request.urlopen(self.metrics_url, timeout=30) as page:
            lines = page.read().decode().splitlines()
        found = [line.split() for line in lines if line.startswith(name)]
        assert found or name != RUNNING, lines
        return sum(float(words[-1]) for words in found)

    def settle(self) -> None:
        """Waits until no request runs, those included whose clients are gone."""
        end = time.monotonic() + PATIENCE
        # Measurements come a little after what they tell of.
        time.sleep(0.5)
        while running := self.metric(RUNNING):
            assert time.monotonic() < end, f"{running:.0f} requests still run"
            time.sleep(0.25)


def gpu(what: str) -> int:
    """Bytes of the first GPU's memory: `total`, `free` or `used`."""
    query = ["nvidia-smi", "-i", "0", f"--query-gpu=memory.{what}"]
    query.append("--format=csv,noheader,nounits")
    return int(subprocess.check_output(query, env=dict(os.environ))) << 20


def available() -> int:
    """Bytes of it that MAX takes for a model and its cache, and is told a share of.

    Asked in a process of its own, which holds them as long as it runs.
    """
    ask = "from max.driver import Accelerator as A; print(A().stats['free_memory'])"
    return int(subprocess.check_output([sys.executable, "-c", ask]))


def mxfp4_serve(port: int, *flags: str) -> list[str]:
    """The command that serves the model."""
    # In an unpacked bundle, in a checkout, or on PATH.
    places = [ROOT / "mxfp4", ROOT / "target/release/mxfp4"]
    program = next((str(place) for place in places if place.is_file()), "mxfp4")
    return [program, "serve", "--model", MODEL, "--port", str(port), *flags]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        return listener.getsockname()[1]


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def starting(port: int) -> tuple[list[str], dict[str, str]]:
    """The command for the model, and the variables it needs: those of any user."""
    weights = sum(file.stat().st_size for file in Path(MODEL).glob("*.safetensors"))
    share = (weights + STEP + CACHE) / available()
    flags = ["--host", "127.0.0.1", "--", "--device-memory-utilization", f"{share:.3f}"]
    # The tests' packages are not the server's.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return mxfp4_serve(port, *flags), environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("server")
    port, metrics_port = free_port(), free_port()
    command, environment = starting(port)
    environment |= {
        "MAX_SERVE_METRICS_ENDPOINT_PORT": str(metrics_port),
        "MAX_SERVE_MAX_QUEUE_SIZE": str(QUEUE),
        "MAX_SERVE_MAX_PENDING_REQUESTS": str(PENDING),
        "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S": "60",
    }
    # A client and the server have a file open for each request.
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = max(files, min(most, 1 << 16))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url, metrics_url = (f"http://127.0.0.1:{p}" for p in (port, metrics_port))
    server = Server(process, url, f"{metrics_url}/metrics", MODEL, log)
    try:
        end = time.monotonic() + START
        while not ready(server.url):
            assert process.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < end, log.read_text()[-4000:]
            time.sleep(0.25)
        server.alone = asked_alone(server)
        yield server
    finally:
        for pid in server.processes() if process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


class Clients:
    """Requests at once, and what became of each."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.outcomes: Counter[str] = Counter()
        self.prompt_tokens = self.tokens = 0
        self.compared = self.alike = 0

    def post(self, prompt: str, tokens: int, **more: Any) -> Any:
        body = {"model": self.server.model, "prompt": prompt, "max_tokens": tokens}
        body |= {"temperature": 0, "ignore_eos": True}
        return self.session.post(f"{self.server.url}/v1/completions", json=body | more)

    async def ask(self, number: int, tokens: int = 4, before: str = "") -> None:
        """Asks, and checks that the answer is whole."""
        prompt = before + question(number)
        try:
            async with self.post(prompt, tokens) as response:
                if response.status != 200:
                    self.outcomes[str(response.status)] += 1
                    return
                answer = await response.json()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            self.outcomes[type(error).__name__] += 1
            return
        usage, text = answer["usage"], answer["choices"][0]["text"]
        self.prompt_tokens += usage["prompt_tokens"]
        self.tokens += usage["completion_tokens"]
        if usage["completion_tokens"] != tokens:
            self.outcomes[f"{usage['completion_tokens']} of {tokens} tokens"] += 1
        else:
            self.outcomes["answered"] += 1
        if prompt in self.server.alone:
            self.compared += 1
            self.alike += text.startswith(self.server.alone[prompt])

    def print(self, seconds: float) -> None:
        """One line that counts what became of the requests."""
        test = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].split()[0]
        line = f"{test}: {dict(self.outcomes)}, {self.prompt_tokens} tokens asked, "
        line += f"{self.tokens} answered, {seconds:.1f} s"
        if self.compared:
            kinds = len(set(self.server.alone.values()))
            line += f"; first token as alone: {self.alike} of {self.compared}"
            line += f" ({kinds} different ones)"
        print(f"\n{line}", flush=True)


def asked_alone(server: Server) -> dict[str, str]:
    """Asks each question while nothing else runs, and a longer answer to the first."""
    prompts = [question(number) for number in range(len(LETTERS))]
    answers = {}
    for prompt, tokens in [*((p, 1) for p in prompts), (prompts[0], 32)]:
        body = {"model": server.model, "prompt": prompt, "max_tokens": tokens}
        body |= {"temperature": 0, "ignore_eos": True}
        request = urllib.request.Request(
            f"{server.url}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            text = json.load(response)["choices"][0]["text"]
        answers[prompt if tokens == 1 else f"{prompt} at length"] = text
    return answers


def drive(server: Server, requests: Any, ends: bool = False) -> Counter[str]:
    """Runs what ``requests`` makes of the clients, and returns the outcomes.

    The server is as it was before then, unless the requests end it.
    """

    async def run() -> Clients:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            clients = Clients(server, http)
            start = time.monotonic()
            await requests(clients)
            clients.print(time.monotonic() - start)
            return clients

    clients = asyncio.run(run())
    # Of likely tokens a batch of other requests may take another. An answer to another
    # question would hardly ever begin like this one's.
    assert not STEADY or clients.alike >= clients.compared // 2
    if not ends:
        server.settle()
        assert asked_alone(server) == server.alone
    return clients.outcomes


async def at_most(limit: int, coroutines: list[Coroutine[Any, Any, None]]) -> None:
    """Runs all of them, so many at a time."""
    turn = asyncio.Semaphore(limit)

    async def in_turn(coroutine: Coroutine[Any, Any, None]) -> None:
        async with turn:
            await coroutine

    await asyncio.gather(*map(in_turn, coroutines))


def test_512_clients_at_once_are_all_answered(server: Server) -> None:
    async def requests(clients: Clients) -> None:
        await asyncio.gather(*(clients.ask(n) for n in range(CLIENTS)))

    assert drive(server, requests) == {"answered": CLIENTS}


def test_nothing_leaks(server: Server) -> None:
    def some(count: int) -> Counter[str]:
        async def requests(clients: Clients) -> None:
            await at_most(64, [clients.ask(n) for n in range(count)])

        return drive(server, requests)

    # What is allocated once is allocated by now.
    assert some(500) == {"answered": 500}
    before, processes = server.memory(), server.processes()
    gpu_before = gpu("used")
    assert some(REQUESTS) == {"answered": REQUESTS}
    assert server.processes() == processes
    grown = server.memory() - before
    gpu_grown = gpu("used") - gpu_before
    line = (
        f"{REQUESTS} requests, {grown / 2**20:+.1f} MiB in {len(processes)} processes"
    )
    line += f", {gpu_grown / 2**20:+.0f} MiB on the GPU"
    print(line)
    assert max(grown, gpu_grown) < GROWTH, line


def test_clients_that_vanish_leave_the_others_their_answers(server: Server) -> None:
    async def vanish(clients: Clients) -> None:
        # Nobody waits for as many tokens: their requests must have ended.
        async with clients.post("x" * 100, 50_000, stream=True) as response:
            await response.content.readline()
            clients.outcomes["vanished"] += 1
            response.close()

    async def requests(clients: Clients) -> None:
        both = [clients.ask(n) for n in range(64)]
        both += [vanish(clients) for _ in range(64)]
        await asyncio.gather(*both)

    assert drive(server, requests) == {"answered": 64, "vanished": 64}


def test_what_is_too_long_or_no_request_is_refused(server: Server) -> None:
    async def too_long(clients: Clients) -> None:
        # With a space before it, a letter is a token or two by any tokenizer.
        async with clients.post(" x" * (MAX_LENGTH + 1), 1) as response:
            clients.outcomes[f"too long {response.status}"] += 1
            assert str(MAX_LENGTH) in await response.text()

    async def no_request(clients: Clients, body: bytes) -> None:
        url = f"{clients.server.url}/v1/completions"
        async with clients.session.post(url, data=body) as response:
            clients.outcomes[f"no request {response.status // 100}xx"] += 1

    async def requests(clients: Clients) -> None:
        bodies = (b"", b"{", b"\xff\xfe", b"[]", b'{"model": 1}', b'{"prompt": {}}')
        await asyncio.gather(
            *(too_long(clients) for _ in range(8)),
            *(no_request(clients, body) for body in bodies),
            *(clients.ask(n) for n in range(8)),
        )

    expected = {"too long 400": 8, "no request 4xx": 6, "answered": 8}
    assert drive(server, requests) == expected


def test_a_flood_beyond_the_queue_is_refused_and_not_lost(server: Server) -> None:
    async def flood(clients: Clients) -> None:
        await asyncio.gather(*(clients.ask(n, FLOOD_TOKENS) for n in range(FLOOD)))

    outcomes = drive(server, flood)
    assert outcomes.keys() == {"answered", "429"}, outcomes
    assert outcomes.total() == FLOOD

    async def after(clients: Clients) -> None:
        await clients.ask(0)

    assert drive(server, after) == {"answered": 1}


def test_prompts_beyond_the_cache_are_all_answered(server: Server) -> None:
    """They wait, or are put off and computed again; none is lost."""

    async def requests(clients: Clients) -> None:
        async def long(number: int) -> None:
            # No two begin alike, so no page of the cache is shared.
            await clients.ask(number, 64, f"{number}" + " x" * (LONG_PROMPT // 2))

        await asyncio.gather(*(long(n) for n in range(LONG_PROMPTS)))

    put_off = server.metric("maxserve_cache_preemption_count")
    assert drive(server, requests) == {"answered": LONG_PROMPTS}
    put_off = server.metric("maxserve_cache_preemption_count") - put_off
    print(f"{put_off:.0f} preempted")


def take_gpu_memory() -> None:
    """A process of its own: takes what is free of the GPU's, until its input ends."""
    cuda = ctypes.CDLL("libcuda.so.1")
    taken, size, place = 0, 4 << 30, ctypes.c_void_p()
    assert cuda.cuInit(0) == 0
    # Where there is no room for a context either, the GPU is as full as can be.
    status = cuda.cuDevicePrimaryCtxRetain(ctypes.byref(place), 0)
    assert status in (0, OUT_OF_MEMORY), status
    if status == 0:
        assert cuda.cuCtxSetCurrent(place) == 0
        while size >= 1 << 20:
            status = cuda.cuMemAlloc_v2(ctypes.byref(place), ctypes.c_size_t(size))
            assert status in (0, OUT_OF_MEMORY), status
            if status == 0:
                taken += size
            else:
                size //= 2
    print(taken, flush=True)
    sys.stdin.read()


OUT_OF_MEMORY = 2


@contextmanager
def full_gpu() -> Iterator[int]:
    """Another process has taken all that was free, and holds it meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-c", "import test_load; test_load.take_gpu_memory()"],
        env=os.environ | {"PYTHONPATH": search_path(Path(__file__).parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def test_a_gpu_without_free_memory_harms_no_request(server: Server) -> None:
    async def requests(clients: Clients) -> None:
        both = [clients.ask(n, 64) for n in range(64)]
        both += [clients.ask(n, 64, f"{n}" + " y" * 2000) for n in range(16)]
        await asyncio.gather(*both)

    with full_gpu() as taken:
        print(f"\ntaken {taken / 2**20:.0f} MiB, left {gpu('free') / 2**20:.0f} MiB")
        assert drive(server, requests) == {"answered": 80}
        refused = subprocess.run(
            mxfp4_serve(free_port()),
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            | {"MAX_SERVE_METRICS_ENDPOINT_PORT": str(free_port())},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        print(f"another start: {refused.returncode}, {refused.stderr.strip()}")
        assert refused.returncode == 5
        assert refused.stderr.count("error: ") == 1
        assert "free, and the model needs at least" in refused.stderr
    assert drive(server, requests) == {"answered": 80}


def runs(pid: int) -> bool:
    """Whether a process has not ended. Whoever inherits one may not ask how it did."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_what_streams_at_sigterm_is_finished(server: Server) -> None:
    """The last test: it ends the server."""
    tokens, streams = 2000, 4

    async def requests(clients: Clients) -> None:
        begun, all_begun = 0, asyncio.Event()

        async def stream() -> None:
            nonlocal begun
            async with clients.post("x" * tokens, tokens, stream=True) as response:
                await response.content.readline()
                begun += 1
                if begun == streams:
                    all_begun.set()
                body = await response.text()
            whole = "[DONE]" in body and '"finish_reason":"length"' in body
            clients.outcomes["whole" if whole else body[-500:]] += 1

        async def end() -> None:
            await all_begun.wait()
            server.process.send_signal(signal.SIGTERM)

        await asyncio.gather(end(), *(stream() for _ in range(streams)))

    processes, start = server.processes(), time.monotonic()
    assert drive(server, requests, ends=True) == {"whole": streams}
    server.process.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while left := [pid for pid in processes if runs(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
    seconds = time.monotonic() - start
    print(
        f"{len(processes)} processes have ended {seconds:.1f} s after the first request"
    )
