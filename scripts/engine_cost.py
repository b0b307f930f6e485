"""Measures the CPU time that the engine's socket costs MAX's process.

    SDK/bin/python scripts/engine_cost.py [--clients N] [--step-ms MS] [--rounds N]

MAX's echo model stands in the place of GPT-OSS, and a virtual GPU in that of the GPU,
so it runs anywhere. The model is slowed down to a step of `--step-ms`, so that every
step is a frame of its own. A token's cost is what the process takes more in a round of
long answers than in one of short answers, divided by the tokens more; a request's is
what is left of the short round. CPU time is the user's and the system's of /proc.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "python/tests")]

from front_end import FrontEnd  # noqa: E402
from mxfp4 import checkpoint  # noqa: E402

SHORT, LONG = 2, 102
"""Tokens of an answer."""

SLOW = """
def echo(module):
    import time
    generator = module.EchoTokenGenerator
    begin, execute = generator.__init__, generator.execute
    last = [0.0]

    def __init__(self):
        begin(self)
        self._max_batch_size = {batch}

    def slow(self, inputs):
        due = last[0] + {step}
        time.sleep(max(0.0, due - time.monotonic()))
        last[0] = time.monotonic()
        return execute(self, inputs)

    generator.__init__, generator.execute = __init__, slow


CHANGES["max.serve.pipelines.echo_gen"] = echo
"""


def cpu(pid: int) -> float:
    """Returns the seconds of CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(
    front_end: FrontEnd, clients: int, prompt: list[int], tokens: int
) -> tuple[float, int]:
    """Has all clients ask at once.

    Returns the CPU time that MAX's process took, and how many tokens came: the echo
    model makes one too many where a prompt is taken in pieces.
    """
    pid = front_end.process.pid
    before = cpu(pid)
    waiting = {front_end.ask(prompt, max_tokens=tokens) for _ in range(clients)}
    count = 0
    while waiting:
        name, content = front_end.engine.receive()
        assert name == "step", content
        count += len(content.get("ids", []))
        for row in content.get("rows", []):
            count += len(row.get("tokens", []))
            if "finish" in row:
                waiting.remove(row["id"])
    return cpu(pid) - before, count


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=512)
    parser.add_argument("--step-ms", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    package = os.environ.get("MAX_CUSTOM_EXTENSIONS", str(ROOT / "build/mxfp4.mojoc"))
    prompt = list(range(100, 100 + LONG))
    with tempfile.TemporaryDirectory() as folder:
        home, model = Path(folder) / "home", Path(folder) / "model"
        home.mkdir()
        checkpoint.write(model, checkpoint.SIZES["tiny"])
        change = SLOW.format(batch=args.clients, step=args.step_ms / 1e3)
        with FrontEnd(home, model, Path(package), change) as front_end:
            front_end.ready()
            ask(front_end, args.clients, prompt, LONG)
            print(f"{args.clients} requests, {args.step_ms:g} ms a step")
            for _ in range(args.rounds):
                begun = time.monotonic()
                short, few = ask(front_end, args.clients, prompt, SHORT)
                long, many = ask(front_end, args.clients, prompt, LONG)
                token = (long - short) / (many - few)
                request = (short - few * token) / args.clients
                print(
                    f"{token * 1e6:.1f} us a token, {request * 1e6:.0f} us a request "
                    f"({time.monotonic() - begun:.1f} s)"
                )


if __name__ == "__main__":
    main()
