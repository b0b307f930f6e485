"""Sends a recorded request of an agent to a running server, and the turns after it.

    python3 scripts/turns.py http://localhost:8000 REQUEST.json [--turns N] [--tokens N]

REQUEST.json is the body of a request to /v1/responses, as an agent sent it: Codex, for
one, before a server that writes down what it gets. Each further turn has everything
before it, what the model wrote included, and one more message of the user.

A row has a turn's tokens, how many of its prompt came from the prefix cache, and the
time to the first event with something that the model wrote. Then the whole is done
again with a first message that no request had before, so that a cold prompt is seen
on a server that is warm. Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
import uuid
from typing import Any

Event = dict[str, Any]


def ask(base: str, body: Event) -> tuple[float, Event]:
    """Seconds to the first token, and the response as it ended."""
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/v1/responses", data, headers)
    began = time.perf_counter()
    first = None
    with urllib.request.urlopen(request, timeout=600) as reply:
        for line in reply:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[len("data: ") :])
            if first is None and event["type"] == "response.output_item.added":
                first = time.perf_counter() - began
            if "response" in event and event["response"]["status"] != "in_progress":
                return first or time.perf_counter() - began, event["response"]
    raise SystemExit("the stream ended without a response")


def say(text: str) -> Event:
    """A message of the user."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content}


def results(output: list[Event]) -> list[Event]:
    """What an agent sends back for the calls among these items."""
    return [
        {
            "type": f"{item['type']}_output",
            "call_id": item["call_id"],
            "output": "done",
        }
        for item in output
        if item["type"] in ("function_call", "custom_tool_call")
    ]


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="the server's address")
    parser.add_argument("request", type=argparse.FileType("rb"))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=256, help="of an answer, at most")
    options = parser.parse_args()
    with urllib.request.urlopen(f"{options.base}/v1/models") as reply:
        model = json.load(reply)["data"][0]["id"]
    body = json.load(options.request)
    body |= {"model": model, "stream": True, "max_output_tokens": options.tokens}
    text = sum(len(json.dumps(item)) for item in body["input"])
    print(f"{text} characters of input, {len(json.dumps(body['tools']))} of tools")
    print(
        "| turn | prompt tokens | of them cached | first token, ms | written | status |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for again in range(2):
        history = list(body["input"])
        if again:
            history.insert(0, say(f"A conversation of its own: {uuid.uuid4()}"))
        for turn in range(1, options.turns + 1):
            first, response = ask(options.base, body | {"input": history})
            usage = response["usage"]
            cached = usage["input_tokens_details"]["cached_tokens"]
            print(
                f"| {turn} | {usage['input_tokens']} | {cached} | {first * 1e3:.1f} "
                f"| {usage['output_tokens']} | {response['status']} |",
                flush=True,
            )
            history += response["output"]
            history += results(response["output"]) + [say(f"Go on with step {turn}.")]


if __name__ == "__main__":
    sys.exit(main())
