"""A process started ahead is the one that `multiprocessing` would spawn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PYTHON = Path(__file__).parents[1]

PATIENCE = 60.0

# Runs as the main module below `mxfp4.start`, as MAX's command line does.
PROGRAM = """\
import json, multiprocessing, os, signal, sys, threading, time

LOADED = "wave" in sys.modules
# By this our modules know whose they are while the task is read.
READS = getattr(multiprocessing.current_process(), "_inheriting", False)

def tell(results, pipe, event, what):
    import multiprocessing.process as process
    pipe.send(what)
    results.put({
        "pid": os.getpid(),
        "parent": multiprocessing.parent_process().pid,
        "name": multiprocessing.current_process().name,
        "daemon": multiprocessing.current_process().daemon,
        "loaded": LOADED,
        "reads": READS,
        "set": os.environ.get("SET"),
        "removed": os.environ.get("REMOVED"),
        "arguments": sys.argv[1:],
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    })
    results.close()
    results.join_thread()
    event.wait()
    sys.exit(7)

def run(name):
    mp = multiprocessing.get_context("spawn")
    results, event = mp.Queue(), mp.Event()
    mine, theirs = mp.Pipe()
    process = mp.Process(
        target=tell, args=(results, theirs, event, name), name=name, daemon=True
    )
    process.start()
    told = results.get(timeout=60)
    told["echo"] = mine.recv()
    told["alive"] = process.is_alive()
    event.set()
    process.join()
    told["code"] = process.exitcode
    told["children"] = children()
    return told

def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        pids = file.read().split()
    # multiprocessing's own helper is none of them.
    commands = {int(pid): open(f"/proc/{pid}/cmdline").read() for pid in pids}
    return [pid for pid in commands if "resource_tracker" not in commands[pid]]

if __name__ == "__main__":
"""

DRIVER = """\
import sys
from mxfp4 import ahead
ahead.MODULES = {"Metrics Worker": ("wave",), "Model Worker": ("wave", "no_such")}
sys.argv[0] = "-m"
from mxfp4.start import main
main()
"""


class Started:
    """A main process."""

    def __init__(self, folder: Path, body: str, **variables: str) -> None:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (folder / "program.py").write_text(PROGRAM + lines)
        self.mark = f"MARK={folder}"
        self.process = subprocess.Popen(
            [
                # Whoever runs the tests may ignore signals.
                *("/usr/bin/env", "--default-signal=INT,TERM"),
                *(sys.executable, "-c", DRIVER, "program", "a", "-b"),
            ],
            env={
                "PYTHONPATH": f"{PYTHON}:{folder}",
                "MODULAR_MAX_ALLOCATOR": "system",
                "MARK": str(folder),
                "REMOVED": "once",
            }
            | variables,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self) -> Any:
        """What it printed before it ended well."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0
        return json.loads(out)

    def left(self) -> list[int]:
        """The processes of its tree that live, itself among them."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_text(errors="replace")
                state = (folder / "stat").read_text().rpartition(") ")[2][0]
            except OSError:
                continue
            if self.mark in environment.split("\0") and state != "Z":
                found.append(int(folder.name))
        return found

    def await_left(self, count: int) -> None:
        """Waits until so many are left."""
        end = time.monotonic() + PATIENCE
        while len(self.left()) != count:
            assert time.monotonic() < end, self.left()
            time.sleep(0.05)


def test_becomes_the_process(tmp_path: Path) -> None:
    body = """\
before = children()
os.environ["SET"] = "now"
del os.environ["REMOVED"]
# The terminal's Ctrl-C reaches all; this one must go on.
for pid in before:
    time.sleep(0.5)
    os.kill(pid, signal.SIGINT)
told = [run(name) for name in ("Metrics Worker", "Model Worker")]
print(json.dumps({"before": before, "told": told, "main": os.getpid()}))"""
    started = Started(tmp_path, body)
    told = started.told()
    assert len(told["before"]) == 2
    for number, name in enumerate(("Metrics Worker", "Model Worker")):
        assert told["told"][number] == {
            "pid": told["before"][number],
            "parent": told["main"],
            "name": name,
            "daemon": True,
            "loaded": True,
            "reads": True,
            "set": "now",
            "removed": None,
            "arguments": ["a", "-b"],
            "interrupt": True,
            "echo": name,
            "alive": True,
            "code": 7,
            "children": told["before"][number + 1 :],
        }
    started.await_left(0)


def test_others_are_spawned_as_ever(tmp_path: Path) -> None:
    body = """\
before = children()
told = [run(name) for name in ("Other", "Model Worker", "Model Worker")]
print(json.dumps({"before": before, "told": told}))"""
    told = Started(tmp_path, body).told()
    other, model, again = told["told"]
    metrics, spare = told["before"]
    assert [each["loaded"] for each in told["told"]] == [False, True, False]
    assert [each["code"] for each in told["told"]] == [7, 7, 7]
    assert other["children"] == [metrics, spare]
    # When the model's process is there, nobody is going to need the other spare.
    assert (model["pid"], model["children"]) == (spare, [])
    assert again["pid"] not in (metrics, spare)


def test_a_spare_that_died_is_replaced(tmp_path: Path) -> None:
    body = """\
before = children()
for pid in before:
    os.kill(pid, signal.SIGKILL)
told = [run(name) for name in ("Metrics Worker", "Model Worker")]
print(json.dumps({"before": before, "told": told}))"""
    told = Started(tmp_path, body).told()
    for each in told["told"]:
        assert each["pid"] not in told["before"]
        assert (each["code"], each["loaded"]) == (7, False)


def test_can_be_turned_off(tmp_path: Path) -> None:
    body = """\
before = children()
print(json.dumps({"before": before, "told": run("Model Worker")}))"""
    told = Started(tmp_path, body, MXFP4_AHEAD="0").told()
    assert told["before"] == []
    assert (told["told"]["code"], told["told"]["loaded"]) == (7, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ends_with_the_main_process(tmp_path: Path, number: int) -> None:
    body = """\
signal.signal(signal.SIGINT, signal.default_int_handler)
time.sleep(600)"""
    started = Started(tmp_path, body)
    try:
        started.await_left(3)
        started.process.send_signal(number)
        assert started.process.wait(PATIENCE) == -number
        started.await_left(0)
    finally:
        for pid in started.left():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("ahead", ["1", "0"])
def test_what_was_spawned_ends_with_the_main_process(
    tmp_path: Path, ahead: str
) -> None:
    body = """\
mp = multiprocessing.get_context("spawn")
results, event = mp.Queue(), mp.Event()
mine, theirs = mp.Pipe()
mp.Process(
    target=tell, args=(results, theirs, event, "here"), name="Model Worker"
).start()
results.get(timeout=60)
print("there", flush=True)
os.kill(os.getpid(), signal.SIGKILL)"""
    started = Started(tmp_path, body, MXFP4_AHEAD=ahead)
    try:
        out, _ = started.process.communicate(timeout=PATIENCE)
        assert (out, started.process.returncode) == ("there\n", -signal.SIGKILL)
        started.await_left(0)
    finally:
        for pid in started.left():
            os.kill(pid, signal.SIGKILL)


def test_ends_with_a_main_process_that_spawns_nothing(tmp_path: Path) -> None:
    started = Started(tmp_path, "print(json.dumps(children()))")
    assert len(started.told()) == 2
    started.await_left(0)


def test_needs_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mxfp4.start"],
        env={"PYTHONPATH": str(PYTHON)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("usage: ")
