"""Starts the processes of MAX's server ahead of the moment when MAX does.

MAX loads its packages, reads the model's configuration, and only then spawns the
process for the measurements and, when that is there, the one for the model. Each is a
new interpreter that loads the same packages again. Here both are started first of all
and load while the main process does. When MAX spawns one, it gets that one instead: it
receives what `multiprocessing` sends to a new interpreter, and goes on as that does.

Nothing is forked: each has its own memory, threads and driver, and is a child of the
main process as it would be anyway.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import os
import pickle
import signal
import socket
from multiprocessing import (
    context,
    popen_spawn_posix,
    reduction,
    resource_tracker,
    spawn,
    util,
)
from typing import Any, ClassVar

from mxfp4.follow import end_with_parent
from mxfp4.search_path import keep_to_sdk

VARIABLE = "MXFP4_AHEAD"
"""Environment variable that turns it off with `0`."""

MODULES = {
    "Metrics Worker": ("max.serve.telemetry.process_controller",),
    "Model Worker": (
        "max.serve.pipelines.model_worker",
        "max.pipelines.architectures.gpt_oss.arch",
        "sse_starlette",
    ),
}
"""MAX's name of each process, and what it is going to load. None of it is ours: our
modules change MAX by which process they are loaded in, and this is none yet."""

LAST = "Model Worker"
"""The one that is spawned last."""

MESSAGE = 1 << 20
"""Bytes that are taken of a message: more than Linux lets one have."""
DESCRIPTORS = 253
"""Descriptors that Linux lets a message have."""


class Spare:
    """A process that loads and then waits to be told what to do."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = (
            f"from mxfp4.ahead import wait; wait({theirs.fileno()}, {os.getpid()}, "
            f"{modules!r})"
        )
        command = [
            spawn.get_executable(),
            *util._args_from_interpreter_flags(),
            *("-c", program, "--multiprocessing-fork"),
        ]
        with theirs:
            self.pid = util.spawnv_passfds(command[0], command, [theirs.fileno()])
        self.environment = dict(os.environ)

    def is_alive(self) -> bool:
        """Whether it can still become something."""
        try:
            ended, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            ended = self.pid
        if ended:
            self.pid = 0
        return not ended

    def changes(self) -> dict[str, str | None]:
        """The variables that were changed since, and None for those removed."""
        now, then = dict(os.environ), self.environment
        return {
            name: now.get(name)
            for name in now.keys() | then.keys()
            if now.get(name) != then.get(name)
        }

    def dismiss(self) -> None:
        """Ends it."""
        self.socket.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)


class Received:
    """Stands for a descriptor in what is sent."""

    descriptors: ClassVar[list[int]] = []

    def __init__(self, index: int) -> None:
        self.index = index

    def detach(self) -> int:
        """Returns the descriptor, in the process that received it."""
        return self.descriptors[self.index]


class Popen(popen_spawn_posix.Popen):
    """Makes a spare the process that would be spawned."""

    DupFd = Received

    def __init__(self, process: Any, spare: Spare) -> None:
        self._spare = spare
        super().__init__(process)

    def duplicate_for_child(self, fd: int) -> int:
        self._fds.append(fd)
        return len(self._fds) - 1

    def _launch(self, process: Any) -> None:
        content = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(spawn.get_preparation_data(process._name), content)
            reduction.dump(process, content)
        finally:
            context.set_spawning_popen(None)
        # As in the base class: one pipe ends with the process and so tells of that, the
        # other brings the content, and ends with this one.
        self.sentinel, theirs = os.pipe()
        source, sink = os.pipe()
        self.finalizer = util.Finalize(self, util.close_fds, (self.sentinel, sink))
        self.pid = self._spare.pid
        changes = pickle.dumps(self._spare.changes())
        descriptors = [resource_tracker.getfd(), source, theirs, *self._fds]
        try:
            with self._spare.socket as link:
                socket.send_fds(link, [changes], descriptors)
        finally:
            os.close(source)
            os.close(theirs)
        with open(sink, "wb", closefd=False) as file:
            file.write(content.getbuffer())


def start() -> None:
    """Starts them, for the next processes of those names that are spawned."""
    if os.environ.get(VARIABLE) == "0":
        return
    spares = {name: Spare(modules) for name, modules in MODULES.items()}
    spawn_new = context.SpawnProcess._Popen

    def dismiss() -> None:
        for spare in spares.values():
            spare.dismiss()
        spares.clear()

    def popen(process: Any) -> Any:
        spare = spares.pop(process.name, None)
        if process.name == LAST:
            dismiss()
        if spare is None:
            return spawn_new(process)
        if spare.is_alive():
            # It may end just now.
            with contextlib.suppress(OSError):
                return Popen(process, spare)
        spare.dismiss()
        return spawn_new(process)

    context.SpawnProcess._Popen = staticmethod(popen)
    atexit.register(dismiss)


def wait(descriptor: int, parent: int, modules: tuple[str, ...]) -> None:
    """Loads `modules`, then becomes what the parent sends.

    Args:
        descriptor: The socket to the parent.
        parent: The parent's process number.
        modules: Their names.
    """
    # This ends with the parent, which alone answers signals until then.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    keep_to_sdk()
    # What is loaded stays: there is no garbage to look for.
    gc.disable()
    for module in modules:
        # If it cannot be loaded, whoever needs it says so.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    gc.enable()

    with socket.socket(fileno=descriptor) as link:
        message, descriptors, _, _ = socket.recv_fds(link, MESSAGE, DESCRIPTORS)
    if not message:
        os._exit(0)
    signal.signal(signal.SIGINT, interrupt)
    for variable, value in pickle.loads(message).items():
        if value is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = value
    # The third is the end of the pipe that this process's end closes.
    tracker, source, _, *Received.descriptors = descriptors
    spawn.spawn_main(pipe_handle=source, tracker_fd=tracker)
