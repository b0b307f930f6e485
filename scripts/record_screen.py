"""Records what a command shows on a terminal of 80 by 24, as an SVG.

    .venv/bin/python scripts/record_screen.py OUT.svg --frame TEXT ... -- COMMAND

A frame is taken when the screen first holds its TEXT; --wait TEXT waits for one and takes none.
A LINE is typed once what stands before it is done. In the end the command is interrupted, or
gets the key that --end names.
Needs tmux; rich comes with the SDK.
"""

import argparse
import re
import shlex
import subprocess
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 80, 24
PATIENCE = 600
# What the shell says once the command has ended.
OVER = "the command has ended"


def tmux(*words: str) -> str:
    server = ("tmux", "-L", "record-screen", "-f", "/dev/null")
    done = subprocess.run([*server, *words], check=True, capture_output=True, text=True)
    return done.stdout


def frame(text: str) -> str:
    """The screen once it holds ``text``, with its colours."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if text in tmux("capture-pane", "-p").replace("\n", ""):
            return tmux("capture-pane", "-p", "-e").rstrip()
        time.sleep(0.1)
    raise SystemExit(f"the screen never held {text!r}:\n{tmux('capture-pane', '-p')}")


def steps(kind: str) -> type[argparse.Action]:
    """Keeps what is to be done in the order of the command line."""

    class Step(argparse.Action):
        def __call__(self, parser, namespace, value, option_string=None) -> None:
            namespace.steps = [*(namespace.steps or []), (kind, value)]

    return Step


def recorded(steps: list[tuple[str, str]]) -> list[str]:
    """The frames, with lines typed in between."""
    frames = []
    for kind, text in steps:
        if kind == "type":
            tmux("send-keys", "-l", text)
            tmux("send-keys", "Enter")
            continue
        screen = frame(text)
        if kind == "frame":
            frames.append(screen)
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--frame", action=steps("frame"), dest="steps", required=True)
    parser.add_argument("--wait", action=steps("wait"), dest="steps")
    parser.add_argument("--type", action=steps("type"), dest="steps")
    parser.add_argument("--end", default="C-c")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    size = ("-x", str(COLUMNS), "-y", str(ROWS))
    # The shell outlives the command, so that the last screen can still be read.
    shell = f"{shlex.join(args.command)}; echo; echo {OVER}; sleep {PATIENCE}"
    tmux("-u", "new-session", "-d", *size, shell)
    try:
        frames = recorded(args.steps)
        tmux("send-keys", args.end)
        frame(OVER)
    finally:
        tmux("kill-server")
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, color_system="256")
        console.print(Text(f"$ {shlex.join(args.command)}"))
        for number, screen in enumerate(frames):
            if number:
                console.print(Text("…"))
            console.print(Text.from_ansi(screen))
    svg = console.export_svg(title="mxfp4")
    # An image that fetches fonts from elsewhere tells elsewhere who looks at it.
    args.out.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
