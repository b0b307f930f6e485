"""vllm-router in front of two servers: chat streams through it, to both of them."""

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import openai

*WORKERS, MODEL = sys.argv[1:]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(url: str, router: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            assert router.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)


def ask(client: openai.OpenAI) -> None:
    print("models:", [model.id for model in client.models.list()] == [MODEL])
    texts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for number in range(4):
        chunks = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Name bird {number}."}],
            stream=True,
        )
        text = reasoning = ""
        for chunk in chunks:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning", None) or ""
                if choice.finish_reason:
                    reasons[choice.finish_reason] += 1
        texts[f"{reasoning} {text}"] += 1
    print("streams:", sorted(texts.items()), dict(reasons))
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Name one more."}]
    )
    print("whole:", answer.choices[0].finish_reason)


port = free_port()
with tempfile.TemporaryDirectory() as folder:
    log = Path(folder, "log")
    with log.open("wb") as output:
        router = subprocess.Popen(
            [
                *(sys.executable, "-m", "vllm_router.launch_router"),
                *("--worker-urls", *WORKERS, "--policy", "round_robin"),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--prometheus-port", str(free_port())),
                *("--worker-startup-check-interval", "1"),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}", router, log)
        ask(openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none"))
    finally:
        router.terminate()
        router.wait()
