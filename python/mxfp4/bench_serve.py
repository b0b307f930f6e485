"""Drives servers with MAX's own benchmark client and prints a JSON line for each level.

``mxfp4 bench serve`` runs it. The client is ``max.benchmark``: it streams
``/v1/completions``, ignores end-of-sequence and measures on its side of the socket.
What is added here: prompts of exactly the length that is asked for (the client's own
random prompts change their length when they are encoded again), one process for all
levels, and the count of answers that are missing or shorter than asked for.
"""

import argparse
import contextlib
import functools
import json
import logging
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from mxfp4 import profile

# So few words that a tokenizer has letters and little else.
FEW = 100

# How often a prompt is mended whose length changed when it was encoded again.
MENDS = 20

# What the client calls them.
PERCENTILES = (("p50", "median"), ("p99", "p99"))

# How many different errors a line tells.
ERRORS = 5

# How many steps are recorded for a profile, and how long that may take after the load.
PROFILE_STEPS = 96
PROFILE_TIMEOUT = 30.0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", help="name in requests; the server's own by default")
    parser.add_argument("--tokenizer", required=True, help="the model's folder")
    parser.add_argument("--shape", action="append", required=True, type=shape)
    parser.add_argument("--concurrency", required=True, type=numbers)
    parser.add_argument("--requests", type=int, help="at each level")
    parser.add_argument("--warmup", type=int, default=1, help="rounds not counted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-url", help="another server, for the same load")
    parser.add_argument(
        "--profile", type=Path, help="the folder that the server's MXFP4_PROFILE names"
    )
    return parser.parse_args(arguments)


def shape(text: str) -> tuple[int, int]:
    length, _, output = text.partition("/")
    return int(length), int(output)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def words_of(tokenizer: Any) -> list[int]:
    """Tokens that stay themselves wherever they stand in a text."""
    words, letters = [], []
    for token in sorted(tokenizer.get_vocab().values()):
        text = tokenizer.decode([token])
        if text.isascii() and text[1:].isalpha() and text[0] == " ":
            words.append(token)
        elif len(text) == 1 and text.isascii() and text.isalpha():
            letters.append(token)
    return words if len(words) > FEW else letters


def prompts(
    tokenizer: Any, words: Sequence[int], length: int, count: int, seed: str
) -> Iterator[str]:
    """Different texts, each of them ``length`` tokens."""
    rng = random.Random(seed)
    for _ in range(count):
        tokens = rng.choices(words, k=length)
        for _ in range(MENDS):
            text = tokenizer.decode(tokens)
            found = tokenizer.encode(text, add_special_tokens=False)
            if len(found) == length:
                break
            more = rng.choices(words, k=max(0, length - len(found)))
            tokens = found[:length] + more
        else:
            raise ValueError(f"no text of {length} tokens was found")
        yield text


def served_model(url: str) -> str:
    """The name that a server gives its model."""
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with no_proxy.open(f"{url}/v1/models", timeout=60) as response:
        return json.load(response)["data"][0]["id"]


def drive(
    url: str,
    model: str,
    tokenizer: str,
    texts: Sequence[str],
    output: int,
    concurrency: int,
) -> dict[str, Any]:
    """Sends the prompts, ``concurrency`` at a time; returns the client's result."""
    from max.benchmark.benchmark_serving import main_with_parsed_args, parse_args
    from max.benchmark.benchmark_shared.serving_result_output import save_result_json

    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "prompts.jsonl")
        with dataset.open("w") as file:
            for number, text in enumerate(texts):
                line = {"timestamp": str(number), "conversation_id": str(number)}
                file.write(json.dumps(line | {"messages": text}) + "\n")
        options = {
            "base-url": url,
            "backend": "modular",
            "endpoint": "/v1/completions",
            "model": model,
            "tokenizer": tokenizer,
            "dataset-name": "obfuscated-conversations",
            "dataset-mode": "local",
            "dataset-path": str(dataset),
            "output-lengths": str(output),
            "num-prompts": str(len(texts)),
            "max-concurrency": str(concurrency),
            "temperature": "0",
            # Without it the client would guess how many tokens an answer has.
            "extra-body": '{"stream_options": {"include_usage": true}}',
            "skip-first-n-requests": "0",
            "skip-last-n-requests": "0",
            "server-ready-timeout-s": "60",
        }
        arguments = [word for name, v in options.items() for word in (f"--{name}", v)]
        arguments += [
            "--tokenizer-local-files-only",
            "--disable-tqdm",
            "--skip-test-prompt",
            "--always-save-result",
            "--no-collect-gpu-stats",
            "--no-collect-cpu-stats",
            "--no-collect-server-stats",
            "--no-flush-prefix-cache",
        ]
        [run] = main_with_parsed_args(parse_args(arguments))
        if run.result is None:
            raise RuntimeError("the client made no result")
        result = Path(folder, "result.json")
        save_result_json(
            str(result),
            run.labels,
            run.result,
            request_rate=run.request_rate,
            record_max_concurrency=run.max_concurrency,
        )
        return json.loads(result.read_text())


def level(result: dict[str, Any], output: int) -> dict[str, Any]:
    """What a line says of the client's result: every request is accounted for."""
    records = result["request_records"]
    failed = [record for record in records if not record["success"]]
    answered = [record for record in records if record["success"]]
    short = [record for record in answered if record["output_len"] != output]
    errors = [last_line(record["error"]) for record in failed]
    errors += [f"{r['output_len']} tokens instead of {output}" for r in short]
    return {
        "requests": len(records),
        "failed": len(failed),
        "short": len(short),
        "errors": sorted(set(errors))[:ERRORS],
        "seconds": result["duration"],
        "input_tokens": result["total_input_tokens"],
        "output_tokens": sum(record["output_len"] for record in answered),
        **{
            name: {p: result.get(f"{key}_{name}") for p, key in PERCENTILES}
            for name in ("ttft_ms", "tpot_ms", "itl_ms")
        },
    }


def last_line(error: str) -> str:
    lines = error.strip().splitlines()
    return lines[-1] if lines else "no answer"


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer, local_files_only=True)
    words = words_of(tokenizer)
    if not words:
        sys.exit("error: the tokenizer has no words to make prompts of")
    servers = {"ours": args.url.rstrip("/")}
    if args.peer_url:
        servers["peer"] = args.peer_url.rstrip("/")
    try:
        models = {name: served_model(url) for name, url in servers.items()}
    except (OSError, ValueError, LookupError) as error:
        sys.exit(f"error: a server does not say what it serves: {error}")
    if args.model:
        models["ours"] = args.model
    logging.basicConfig(level=logging.WARNING, force=True)
    lines = sys.stdout
    # The client prints a summary of its own; standard output is for the lines.
    with contextlib.redirect_stdout(sys.stderr):
        measure(args, tokenizer, words, servers, models, lines)


def measure(
    args: argparse.Namespace,
    tokenizer: Any,
    words: Sequence[int],
    servers: dict[str, str],
    models: dict[str, str],
    lines: TextIO,
) -> None:
    """Drives each server with each load, and writes the lines."""
    for length, output in args.shape:
        for concurrency in args.concurrency:
            count = args.requests or max(4 * concurrency, 16)
            # Cached prefixes would be another measurement: no text is sent twice.
            seed = f"{args.seed} {length} {output} {concurrency}"
            make = functools.partial(prompts, tokenizer, words, length)
            warmup = [
                list(make(concurrency, f"{seed} {number}"))
                for number in range(args.warmup)
            ]
            measured = list(make(count, seed))
            for name, url in servers.items():
                common = (models[name], args.tokenizer)
                for texts in warmup:
                    drive(url, *common, texts, output, concurrency)
                result = drive(url, *common, measured, output, concurrency)
                line = {
                    "server": name,
                    "input": length,
                    "output": output,
                    "concurrency": concurrency,
                }
                print(json.dumps(line | level(result, output)), file=lines, flush=True)
                if args.profile and name == "ours":
                    # On its own, because recording takes time.
                    texts = list(make(concurrency, f"{seed} profile"))
                    load = (drive, url, *common, texts, output, concurrency)
                    told = record_steps(args.profile, functools.partial(*load))
                    shape = f"{length}-{output}-{concurrency}"
                    Path(args.profile, f"{shape}.md").write_text(told)


def record_steps(folder: Path, load: Callable[[], object]) -> str:
    """Has the server record steps under this load; returns the table of one.

    The first of them take in the prompts; the profile is of those that are alike.
    """
    record = folder / profile.RECORD
    record.unlink(missing_ok=True)
    Path(folder, profile.REQUEST).write_text(str(PROFILE_STEPS))
    load()
    deadline = time.monotonic() + PROFILE_TIMEOUT
    while not record.exists():
        if time.monotonic() > deadline:
            return "The server recorded nothing: was MXFP4_PROFILE set for it?\n"
        time.sleep(0.1)
    activities = [tuple(activity) for activity in json.loads(record.read_text())]
    try:
        return profile.table(profile.profile(activities))
    except ValueError as error:
        return f"{error}\n"


if __name__ == "__main__":
    main()
