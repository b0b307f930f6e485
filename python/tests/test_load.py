"""MAX's own server under load and faults: every request has an outcome that is counted.

The server, its processes, HTTP and the queue between them are the real ones; a virtual
GPU stands in the place of the GPU, and MAX's echo model, which repeats its prompt, in
that of GPT-OSS. The longer run: MXFP4_LOAD_REQUESTS=10000.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server import VIRTUAL_GPU, search_path

aiohttp = pytest.importorskip(
    "aiohttp", reason="skipped: needs max[benchmark], run `mxfp4 setup`"
)

pytestmark = pytest.mark.job(first=True)


REQUESTS = int(os.environ.get("MXFP4_LOAD_REQUESTS", "2000"))
CLIENTS = 512
MAX_LENGTH = 20_000
PATIENCE = 300

# ZeroMQ keeps a queue of this length at both its ends: together they take more than the
# clients of the other tests, and less than the flood.
QUEUE = 300
PENDING = 64
FLOOD = 1000

# What the processes may grow by, however many requests they have answered since.
GROWTH = 64 << 20


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    model: str
    log: Path

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


@pytest.fixture(scope="module")
def server(
    checkpoint_folder: Path,
    kernel_package: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    if not VIRTUAL_GPU.is_file():
        pytest.skip("skipped: needs the virtual GPU of this repository's Rust tests")
    home = tmp_path_factory.mktemp("server")
    shutil.copy(VIRTUAL_GPU, home / "sitecustomize.py")
    port, metrics_port = free_port(), free_port()
    environment = os.environ | {
        "HOME": str(home),
        "MODULAR_CACHE_DIR": str(home / "cache"),
        "PYTHONPATH": search_path(home),
        "PYTHONSAFEPATH": "1",
        "OTEL_SDK_DISABLED": "true",
        "MAX_SERVE_DUMMY_MODEL": "1",
        "MAX_SERVE_METRICS_ENDPOINT_PORT": str(metrics_port),
        "MAX_SERVE_MAX_QUEUE_SIZE": str(QUEUE),
        "MAX_SERVE_MAX_PENDING_REQUESTS": str(PENDING),
        "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S": "60",
    }
    words = ["--model", checkpoint_folder, "--custom-architectures", "mxfp4.gpt_oss"]
    words += ["--quantization-encoding", "float4_e2m1fnx2", "--devices", "gpu"]
    words += ["--max-length", MAX_LENGTH, "--host", "127.0.0.1", "--port", port]
    command = [sys.executable, "-m", "max._entrypoints.pipelines", "serve", "--force"]
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *map(str, words)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", str(checkpoint_folder), log)
    try:
        end = time.monotonic() + PATIENCE
        while not ready(server.url):
            assert process.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < end, log.read_text()[-4000:]
            time.sleep(0.25)
        yield server
    finally:
        # Its session is its process group: the workers go with it.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Clients:
    """Requests at once, and what became of each."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.outcomes: Counter[str] = Counter()

    def post(self, prompt: str, tokens: int, **more: Any) -> Any:
        body = {"model": self.server.model, "prompt": prompt, "max_tokens": tokens}
        return self.session.post(f"{self.server.url}/v1/completions", json=body | more)

    async def ask(self, number: int) -> None:
        """Asks, and checks that the answer belongs to the question."""
        prompt = f"question {number:06d}!"
        try:
            async with self.post(prompt, len(prompt)) as response:
                if response.status != 200:
                    self.outcomes[str(response.status)] += 1
                    return
                answer = await response.json()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            self.outcomes[type(error).__name__] += 1
            return
        whole = answer["usage"]["completion_tokens"] == len(prompt)
        right = whole and answer["choices"][0]["text"] == prompt
        self.outcomes["answered" if right else f"wrong: {answer}"] += 1


def drive(server: Server, requests: Any) -> Counter[str]:
    """Runs what ``requests`` makes of the clients, and returns the outcomes."""

    async def run() -> Counter[str]:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            clients = Clients(server, http)
            await requests(clients)
            return clients.outcomes

    return asyncio.run(run())


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
    assert some(REQUESTS) == {"answered": REQUESTS}
    assert server.processes() == processes
    grown = server.memory() - before
    print(f"{REQUESTS} requests, {grown / 2**20:+.1f} MiB")
    assert grown < GROWTH, f"{grown / 2**20:.1f} MiB more after {REQUESTS} requests"


def test_clients_that_vanish_leave_the_others_their_answers(server: Server) -> None:
    async def vanish(clients: Clients) -> None:
        async with clients.post("x" * 5000, 5000, stream=True) as response:
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
        async with clients.post("x" * (MAX_LENGTH + 1), 1) as response:
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
        await asyncio.gather(*(clients.ask(n) for n in range(FLOOD)))

    outcomes = drive(server, flood)
    print(dict(outcomes))
    assert outcomes.keys() == {"answered", "429"}, outcomes
    assert outcomes.total() == FLOOD

    async def after(clients: Clients) -> None:
        await clients.ask(0)

    assert drive(server, after) == {"answered": 1}


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
            whole = "[DONE]" in body and '"finish_reason":"stop"' in body
            clients.outcomes["whole" if whole else body[-500:]] += 1

        async def end() -> None:
            await all_begun.wait()
            server.process.send_signal(signal.SIGTERM)

        await asyncio.gather(end(), *(stream() for _ in range(streams)))

    processes = server.processes()
    assert drive(server, requests) == {"whole": streams}
    server.process.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while left := [pid for pid in processes if runs(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
