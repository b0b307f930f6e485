"""Ends this process with the front end.

The front end may be killed at any moment, and Python's threads may wait for minutes
while MAX loads. So the kernel does it: a connection that carries nothing sends SIGKILL
to this process when its other end closes. The processes that MAX starts end with this
one; see `mxfp4.ahead`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys

from mxfp4.engine import wire

PATIENCE = 10.0
"""Seconds that the front end may take for an answer."""

F_SETSIG = 10
"""Linux's number of the command; Python names it from 3.11 on only on some systems."""

_held: list[socket.socket] = []


def connect(path: str) -> None:
    """Connects to the front end, and ends this process when that ends.

    Where there is no front end, or one of another version, the process ends here.
    """
    try:
        link = _connect(path)
    except (OSError, wire.FrameError) as error:
        sys.exit(f"mxfp4: cannot reach the front end at {path}: {error}")
    hold(link)


def hold(link: socket.socket) -> None:
    """Has the kernel kill this process when the other end of `link` closes."""
    _held.append(link)
    fcntl.fcntl(link, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(link, F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(link, fcntl.F_GETFL)
    fcntl.fcntl(link, fcntl.F_SETFL, flags | os.O_ASYNC)
    # It may have closed before.
    if select.select([link], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGKILL)


def check_peer(link: socket.socket) -> None:
    """Refuses another user's process."""
    size = struct.calcsize("3i")
    found = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, user, _ = struct.unpack("3i", found)
    if user != os.getuid():
        raise wire.FrameError(f"it is another user's (uid {user}, not {os.getuid()})")


def _connect(path: str) -> socket.socket:
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        link.settimeout(PATIENCE)
        link.connect(path)
        check_peer(link)
        link.sendall(wire.pack("lifeline", {"protocol": wire.PROTOCOL}))
        welcome = wire.unpack(_read(link, wire.length(_read(link, 4)))).welcome
        if welcome is None:
            raise wire.FrameError("it does not answer")
        if welcome.protocol != wire.PROTOCOL:
            raise wire.FrameError(
                f"it speaks version {welcome.protocol} of the protocol and this "
                f"package version {wire.PROTOCOL}; use the program of this package's "
                "version"
            )
        link.settimeout(None)
        stack.pop_all()
        return link


def _read(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        if not piece:
            raise wire.FrameError("it closed the connection")
        data += piece
    return data
