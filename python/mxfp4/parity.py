"""Compares a served model's log-probabilities with transformers' in float32.

    python -m mxfp4.parity --checkpoint DIR --model M [--base-url URL]

The reference reads the checkpoint, dequantizes its experts and computes in float32.
It scores what the server reports: for many short prompts, the top log-probabilities
of the next tokens, which the server chooses greedily. Exits 0 where every one is
within the tolerance, 1 where one is not.

A router that all but ties between its last chosen expert and the next one may
choose either in bfloat16, and a different expert is a different answer. So the
prompts are drawn, by the reference and before the server sees them, such that no
router comes that close (`--router-margin`) at any of their tokens. Where it does
at a token that the server generated, the rest of that answer is set aside.

Long prompts and many layers keep no such margin. With `--ratio R` the prompts are
any, of several lengths where `--prompt-tokens` lists some (10,500,5000), and what is
judged is the mean error against float32: it may be R times that of transformers in
bfloat16, each at the tokens that it holds for the likeliest. With `--stream` the
reference holds one layer at a time.

With `--repeat N` the server is asked everything N times, and has to begin every
answer as it did the first time, ties apart: a server that is not reproducible is
wrong.

With `--against URL` there is no reference: another server, of the same model but
started otherwise, has to choose the same tokens. Answers may part where the first
server holds two tokens for likely alike, by twice the tolerance. The other one is
not asked for log-probabilities, which some ways to start a server exclude.
`--compare A B` does the same with two recordings, A of a server that has them. With
`--router-margin M` they may also part once a router came that close, by the reference.

`--zero-experts` and `--swap-experts A B` spoil the reference: with either the
comparison has to fail, which shows that it would notice.

With `--record FILE` the parts run apart, on different machines where need be:
`--only draw` writes the prompts, `--only ask` adds the server's answers (and needs
the standard library alone), `--only compare` does the rest.

Needs torch, transformers and safetensors; neither MAX nor this project's SDK. Two
servers are compared without torch, and prompts drawn without it if any will do.
The reference needs room on the GPU, and MAX takes nearly all of its memory unless
`MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE_PERCENT=35` is in the server's environment.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mxfp4 import parity_tokens
from mxfp4.parity_sample import Sample

if TYPE_CHECKING:
    from mxfp4.parity_reference import Reference

TOP = 5
ROUTER_MARGIN = 0.08


@dataclass(frozen=True)
class Difference:
    """One log-probability, by server and by reference."""

    context: int
    """How many tokens the server had seen."""

    token: str
    served: float
    reference: float

    @property
    def size(self) -> float:
        # Not-a-number on either side must count as a difference.
        size = abs(self.served - self.reference)
        return size if size == size else float("inf")


def request_sample(
    base_url: str,
    model: str,
    prompt: list[int],
    tokens: int,
    timeout: float,
    logprobs: bool = True,
) -> Sample:
    """Lets the server continue a prompt greedily."""
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    if logprobs:
        body["logprobs"] = TOP
    request = urllib.request.Request(
        f"{base_url}/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return parse_sample(prompt, json.load(response), logprobs)


def parse_sample(
    prompt: list[int], answer: dict[str, Any], logprobs_asked: bool = True
) -> Sample:
    """Reads a completion, and makes sure that nothing is missing from it."""
    (choice,) = answer["choices"]
    logprobs = choice.get("logprobs") or {}
    sample = Sample(
        prompt=prompt,
        tokens=choice.get("token_ids") or [],
        token_logprobs=logprobs.get("token_logprobs") or [],
        top_logprobs=logprobs.get("top_logprobs") or [],
    )
    counts = [
        len(sample.tokens),
        len(sample.token_logprobs),
        len(sample.top_logprobs),
    ]
    if not sample.tokens or (logprobs_asked and len(set(counts)) != 1):
        raise ValueError(
            "the server returned {} tokens, {} log-probabilities and {} lists of "
            "top log-probabilities for one prompt".format(*counts)
        )
    return sample


def clear_prompts(
    margins: Callable[[list[list[int]]], list[list[float]]],
    draw: Callable[[], int],
    count: int,
    length: int,
    margin: float,
    attempts: int = 100,
) -> list[list[int]]:
    """Draws prompts at whose every token the routers are sure of their choice.

    Args:
        margins: Says of each token of each prompt how sure the routers are.
        draw: Draws a token.
        count: How many prompts to return.
        length: How many tokens each has.
        margin: What counts as sure.
        attempts: How often to draw again before giving up.
    """
    clear: list[list[int]] = []
    open_ = [[draw() for _ in range(length)] for _ in range(count)]
    for _ in range(attempts):
        still = []
        for prompt, gaps in zip(open_, margins(open_), strict=True):
            unsure = [i for i, gap in enumerate(gaps) if gap < margin]
            for i in unsure:
                prompt[i] = draw()
            (still if unsure else clear).append(prompt)
        open_ = still
        if not open_:
            return clear
    raise ValueError(
        f"{len(open_)} of {count} prompts of {length} tokens keep no router margin of "
        f"{margin}: ask for a smaller margin or shorter prompts"
    )


def texts_to_ids(folder: Path) -> dict[str, list[int]]:
    """Returns the tokens that each text may stand for.

    The server names tokens by their text, which a few tokens share.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids: dict[str, list[int]] = defaultdict(list)
    batches = [[token] for token in range(len(tokenizer))]
    for skip in (True, False):
        texts = tokenizer.batch_decode(batches, skip_special_tokens=skip)
        for token, text in enumerate(texts):
            if token not in ids[text]:
                ids[text].append(token)
    return ids


def sure(margins: list[float], margin: float) -> int:
    """Returns for how many tokens in a row the routers are sure of their choice."""
    for count, gap in enumerate(margins):
        if gap < margin:
            return count
    return len(margins)


def compare(
    sample: Sample,
    reference: Any,
    ids: dict[str, list[int]],
    count: int,
) -> list[Difference]:
    """Sets the server's first log-probabilities beside the reference's.

    A text that several tokens share counts as the one that agrees best.
    """
    differences = []
    for position, token in enumerate(sample.tokens[:count]):
        row = reference[position]
        context = len(sample.prompt) + position
        served = sample.token_logprobs[position]
        differences.append(Difference(context, f"#{token}", served, float(row[token])))
        for text, value in sample.top_logprobs[position].items():
            candidates = ids.get(text)
            if not candidates:
                raise ValueError(f"the server names a token {text!r}, which is none")
            differences.append(
                min(
                    (
                        Difference(context, text, value, float(row[candidate]))
                        for candidate in candidates
                    ),
                    key=lambda difference: difference.size,
                )
            )
    return differences


def draw_prompts(args: argparse.Namespace) -> list[list[int]]:
    """Draws prompts of each length; where a margin is asked for, such that every
    router is sure of them.
    """
    config = json.loads((args.checkpoint / "config.json").read_text())
    # Special tokens are the vocabulary's last ones.
    vocabulary = config["vocab_size"] * 97 // 100
    rng = random.Random(args.seed)
    prompts: list[list[int]] = []
    for length in args.prompt_tokens:
        if args.router_margin > 0:
            prompts += clear_prompts(
                make_reference(args).smallest_margins,
                lambda: rng.randrange(vocabulary),
                args.prompts,
                length,
                args.router_margin,
            )
        else:
            prompts += [
                [rng.randrange(vocabulary) for _ in range(length)]
                for _ in range(args.prompts)
            ]
    return prompts


def make_reference(
    args: argparse.Namespace, *, bfloat16: bool = False, spoiled: bool = False
) -> Reference:
    """Makes the reference that the command line asks for."""
    import torch

    from mxfp4.parity_reference import Reference, Spoil

    spoil = Spoil(args.zero_experts, args.swap_experts and tuple(args.swap_experts))
    return Reference(
        args.checkpoint,
        args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        torch.bfloat16 if bfloat16 else torch.float32,
        keep=not args.stream,
        spoil=spoil if spoiled else None,
    )


def ask(
    args: argparse.Namespace,
    prompts: list[list[int]],
    *,
    base_url: str | None = None,
    logprobs: bool = True,
) -> list[Sample]:
    """Lets a server continue the prompts, many at once so that it batches them."""
    name = args.model or str(args.checkpoint)
    url = base_url or args.base_url
    try:
        with ThreadPoolExecutor(args.concurrency) as pool:
            return list(
                pool.map(
                    lambda prompt: request_sample(
                        url, name, prompt, args.tokens, args.timeout, logprobs
                    ),
                    prompts,
                )
            )
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:500]
        raise OSError(f"{url}: HTTP {error.code}: {text}") from error
    except OSError as error:
        raise OSError(f"{url}: {error}") from error


def begins_alike(one: Sample, other: Sample, tolerance: float) -> bool:
    """Tells whether two answers have the same first token, or one of two that tie
    within twice the tolerance, and its log-probabilities are the same within the
    tolerance.

    In another batch the same prompt is summed up in another order.
    """
    tops = one.top_logprobs[0], other.top_logprobs[0]
    pairs = [(one.token_logprobs[0], other.token_logprobs[0])]
    for these, those in (tops, tops[::-1]):
        # What the others' top leaves out is no likelier than the least in it.
        least = min(those.values(), default=-math.inf)
        pairs += [
            (value, those.get(text, min(value, least))) for text, value in these.items()
        ]
    same = one.tokens[0] == other.tokens[0] or all(
        len(top) > 1
        and -2 * tolerance <= nlargest(2, top.values())[1] - max(top.values())
        for top in tops
    )
    # Not-a-number on either side must count as a difference.
    return same and all(abs(first - second) <= tolerance for first, second in pairs)


def reproducible(args: argparse.Namespace, answers: list[Sample]) -> bool:
    """Asks all prompts again, prints which answers begin differently than the first
    time, and tells whether none does.
    """
    count = 0
    for run in range(2, args.repeat + 1):
        again = ask(args, [answer.prompt for answer in answers])
        for index, pair in enumerate(zip(answers, again, strict=True)):
            if begins_alike(*pair, args.tolerance):
                continue
            count += 1
            print(f"prompt {index}, {pair[0].prompt}:")
            for number, sample in zip((1, run), pair, strict=True):
                print(
                    f"  run {number}: tokens {sample.tokens}, log-probabilities "
                    f"{sample.token_logprobs}, of the first {sample.top_logprobs[0]}"
                )
    if args.repeat > 1:
        print(
            f"{args.repeat} runs of {len(answers)} prompts: {count} of the "
            f"{(args.repeat - 1) * len(answers)} later answers begin unlike the first"
        )
    return not count


def report(args: argparse.Namespace, samples: list[Sample]) -> bool:
    """Compares, prints what came out, and tells whether all is within bounds."""
    prompts = [sample.prompt for sample in samples]
    tokens = [sample.tokens for sample in samples]
    # The sound reference says where to compare, also for a spoiled one.
    scores = make_reference(args).score(prompts, tokens)
    comparable = [sure(margins, args.router_margin) for _, margins in scores]
    spoiled = bool(args.zero_experts or args.swap_experts)
    if spoiled:
        scores = make_reference(args, spoiled=True).score(prompts, tokens)
    ids = texts_to_ids(args.checkpoint)
    differences = [
        compare(sample, logprobs, ids, count)
        for sample, (logprobs, _), count in zip(
            samples, scores, comparable, strict=True
        )
    ]
    if args.ratio:
        half = make_reference(args, bfloat16=True, spoiled=spoiled)
        return within_ratio(
            args.ratio,
            samples,
            differences,
            [logprobs for logprobs, _ in scores],
            [logprobs for logprobs, _ in half.score(prompts, tokens)],
        )
    flat = [difference for found in differences for difference in found]
    worst = max(flat, key=lambda difference: difference.size)
    aside = sum(map(len, tokens)) - sum(comparable)
    print(
        f"{sum(comparable)} positions ({aside} more set aside), {len(flat)} "
        f"log-probabilities: mean difference {mean(found.size for found in flat):.4f}, "
        f"largest {worst.size:.4f} "
        f"(token {worst.token!r} after {worst.context} tokens: served "
        f"{worst.served:.4f}, reference {worst.reference:.4f}), tolerance "
        f"{args.tolerance}"
    )
    return verdict(worst.size <= args.tolerance)


def within_ratio(
    most: float,
    samples: list[Sample],
    differences: list[list[Difference]],
    exact: list[Any],
    half: list[Any],
) -> bool:
    """Compares the server's error with that of transformers in bfloat16, by the
    prompts' lengths.

    Each is judged by the tokens that it holds for the likeliest itself. Those are the
    ones that its own error raised most, so judged by another's its error would look
    smaller than it is.

    Args:
        most: How many times as large the mean error may be.
        samples: What the server said.
        differences: The server's, from float32.
        exact: The log-probabilities in float32 for each sample.
        half: Those in bfloat16.
    """
    served: dict[int, list[float]] = defaultdict(list)
    expected: dict[int, list[float]] = defaultdict(list)
    for sample, found, *rows in zip(samples, differences, exact, half, strict=True):
        length = len(sample.prompt)
        served[length] += [difference.size for difference in found]
        for row, theirs in zip(*rows, strict=True):
            expected[length] += [
                abs(float(theirs[token]) - float(row[token]))
                for token in likeliest(theirs)
            ]
    agrees = True
    for length, sizes in sorted(served.items()):
        error, wanted = mean(sizes), mean(expected[length])
        ratio = error / wanted if wanted else math.inf
        agrees &= ratio <= most
        print(
            f"prompts of {length} tokens, {len(sizes)} log-probabilities: mean error "
            f"against float32 {error:.4f}, that of transformers in bfloat16 "
            f"{wanted:.4f}, ratio {ratio:.2f} (at most {most:g})"
        )
    return verdict(agrees)


def likeliest(row: Any) -> list[int]:
    """Returns what a server would report of a row of log-probabilities: the token that
    is chosen, and those that are likeliest, of which it is the first.
    """
    top = nlargest(TOP, enumerate(row.tolist()), key=lambda pair: pair[1])
    tokens = [token for token, _ in top]
    return [tokens[0], *tokens]


def mean(values: Iterable[float]) -> float:
    """Returns the mean of some numbers, of which there must be one."""
    listed = list(values)
    return sum(listed) / len(listed)


def verdict(agrees: bool) -> bool:
    """Says whether the server agrees with the reference."""
    print(
        "the served model "
        + ("agrees with" if agrees else "differs from")
        + " the reference"
    )
    return agrees


def same_tokens(
    args: argparse.Namespace, these: list[Sample], those: list[Sample]
) -> bool:
    """Compares the tokens of two servers, and says whether they are the same."""
    cache: dict[str, list[int]] = {}

    def ids() -> dict[str, list[int]]:
        # Seldom needed, and takes a while.
        return cache or cache.update(texts_to_ids(args.checkpoint)) or cache

    # Each log-probability may be off by the tolerance.
    alike = parity_tokens.report(
        these,
        those,
        ids,
        2 * args.tolerance,
        (lambda seen: smallest(args, seen)) if args.router_margin > 0 else None,
        args.router_margin,
    )
    print("the servers " + ("agree" if alike else "differ"))
    return alike


def smallest(args: argparse.Namespace, samples: list[list[int]]) -> list[float]:
    """Returns for tokens how unsure the reference's routers are at any of them."""
    return list(map(min, make_reference(args).smallest_margins(samples)))


def read_answers(file: Path) -> list[Sample]:
    """Reads the answers of a recording."""
    answers = json.loads(file.read_text()).get("answers")
    if not answers:
        raise ValueError(f"{file} holds no answers: record some with --only ask")
    return [Sample(**answer) for answer in answers]


def lengths(text: str) -> list[int]:
    """Reads lengths with commas between them from the command line."""
    return [positive(part) for part in text.split(",")]


def positive(text: str) -> int:
    """Reads a number of at least 1 from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.parity",
        description="Compare served log-probabilities with a float32 reference, or "
        "the tokens of two servers.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--model", help="the model as served; default: the checkpoint")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument(
        "--against", metavar="URL", help="compare tokens with this server's"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="compare the tokens of two recordings",
    )
    parser.add_argument("--record", type=Path, help="file of prompts and answers")
    parser.add_argument("--only", choices=("draw", "ask", "compare"))
    parser.add_argument(
        "--prompts", type=positive, default=80, help="how many of each length"
    )
    parser.add_argument(
        "--prompt-tokens",
        type=lengths,
        default=[6],
        metavar="N[,N]",
        help="of each prompt",
    )
    parser.add_argument(
        "--tokens", type=positive, default=4, help="to generate after each prompt"
    )
    parser.add_argument(
        "--concurrency", type=positive, default=16, help="prompts asked at once"
    )
    parser.add_argument(
        "--repeat", type=positive, default=1, help="how often to ask everything"
    )
    parser.add_argument(
        "--no-logprobs", action="store_true", help="ask for tokens alone"
    )
    parser.add_argument(
        "--router-margin",
        type=float,
        help=f"default: {ROUTER_MARGIN}; 0 with --ratio, --against, --compare and "
        "--no-logprobs",
    )
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument(
        "--ratio", type=float, help="bound of the error, in bfloat16's errors"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="of the reference; default: cuda if present")
    parser.add_argument(
        "--stream", action="store_true", help="hold one layer of the reference"
    )
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds")
    parser.add_argument("--zero-experts", action="store_true")
    parser.add_argument("--swap-experts", type=int, nargs=2, metavar=("A", "B"))
    args = parser.parse_args(arguments)
    if args.only and not args.record:
        parser.error("--only needs --record FILE, which the parts hand on")
    if args.no_logprobs and args.only not in ("draw", "ask"):
        parser.error(
            "--no-logprobs records tokens: it needs --only ask, then --compare"
        )
    if args.no_logprobs and args.repeat > 1:
        parser.error("--repeat compares log-probabilities: leave --no-logprobs out")
    if args.router_margin is None:
        any_will_do = args.ratio or args.against or args.compare or args.no_logprobs
        args.router_margin = 0.0 if any_will_do else ROUTER_MARGIN
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        return run(args)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def run(args: argparse.Namespace) -> int:
    """Does what the command line says."""
    if args.compare:
        return 0 if same_tokens(args, *map(read_answers, args.compare)) else 1
    record: dict[str, Any] = {}
    if args.only in ("ask", "compare"):
        record = json.loads(args.record.read_text())
    if args.only in (None, "draw"):
        record["prompts"] = draw_prompts(args)
    alike = True
    if args.only in (None, "ask"):
        answers = ask(args, record["prompts"], logprobs=not args.no_logprobs)
        alike = reproducible(args, answers)
        record["answers"] = [asdict(answer) for answer in answers]
    if args.record and args.only != "compare":
        args.record.write_text(json.dumps(record))
    if not alike:
        return 1
    if args.only in ("draw", "ask"):
        print(f"{args.record}: {len(record['prompts'])} prompts")
        return 0
    samples = [Sample(**answer) for answer in record["answers"]]
    if args.against:
        others = ask(args, record["prompts"], base_url=args.against, logprobs=False)
        return 0 if same_tokens(args, samples, others) else 1
    return 0 if report(args, samples) else 1


if __name__ == "__main__":
    sys.exit(main())
