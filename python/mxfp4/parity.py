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

With `--repeat N` the server is asked everything N times, and has to begin every
answer as it did the first time: a server that is not reproducible is wrong.

`--zero-experts` and `--swap-experts A B` spoil the reference: with either the
comparison has to fail, which shows that it would notice.

With `--record FILE` the parts run apart, on different machines where need be:
`--only draw` writes the prompts, `--only ask` adds the server's answers (and needs
the standard library alone), `--only compare` does the rest.

Needs torch, transformers and safetensors; neither MAX nor this project's SDK.
The overlap scheduler gives no log-probabilities, and the reference needs room on the
GPU: serve with `--no-enable-overlap-scheduler --device-memory-utilization 0.6`.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
TOP = 5


@dataclass(frozen=True)
class Sample:
    """What the server said about one prompt."""

    prompt: list[int]
    tokens: list[int]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]


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
    base_url: str, model: str, prompt: list[int], tokens: int, timeout: float
) -> Sample:
    """Lets the server continue a prompt greedily."""
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": TOP,
        "return_token_ids": True,
    }
    request = urllib.request.Request(
        f"{base_url}/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return parse_sample(prompt, json.load(response))


def parse_sample(prompt: list[int], answer: dict[str, Any]) -> Sample:
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
    if not sample.tokens or len(set(counts)) != 1:
        raise ValueError(
            "the server returned {} tokens, {} log-probabilities and {} lists of "
            "top log-probabilities for one prompt".format(*counts)
        )
    return sample


def dequantize(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Returns `[N, K]` float32 weights of one expert.

    Args:
        blocks: `[N, K / 32, 16]` uint8; the low nibble is the even element.
        scales: `[N, K / 32]` uint8, biased exponents; 255 is not a number.
    """
    import torch

    table = torch.tensor(
        [*E2M1, *(-value for value in E2M1)], dtype=torch.float64, device=blocks.device
    )
    nibbles = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(-2)
    exponents = scales.to(torch.float64) - 127
    exponents[scales == 255] = float("nan")
    values = table[nibbles.long()] * torch.exp2(exponents)[..., None]
    return values.flatten(-2).to(torch.bfloat16).to(torch.float32)


def load_reference(folder: Path, device: str) -> Any:
    """Builds transformers' model in float32 from a published checkpoint."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, GptOssForCausalLM

    config = AutoConfig.from_pretrained(folder)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.float32
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.device(device):
        model = GptOssForCausalLM._from_config(config, dtype=torch.float32)
    model = model.to(device).eval().requires_grad_(False)

    parameters = dict(model.named_parameters())
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for file in sorted(set(index["weight_map"].values())):
        with safe_open(folder / file, framework="pt", device=device) as tensors:
            for name in tensors.keys():  # noqa: SIM118
                if name.endswith("_scales"):
                    continue
                target = parameters.pop(name.removesuffix("_blocks"))
                if not name.endswith("_blocks"):
                    target.copy_(tensors.get_tensor(name))
                    continue
                blocks = tensors.get_tensor(name)
                scales = tensors.get_tensor(name.replace("_blocks", "_scales"))
                for expert in range(target.shape[0]):
                    # transformers keeps its experts transposed.
                    target[expert] = dequantize(blocks[expert], scales[expert]).T
    if parameters:
        raise ValueError(f"the checkpoint lacks {', '.join(sorted(parameters))}")
    return model


def spoil(model: Any, *, zero: bool, swap: tuple[int, int] | None) -> None:
    """Makes the reference wrong on purpose."""
    for layer in model.model.layers:
        experts = layer.mlp.experts
        if zero:
            experts.down_proj.zero_()
            experts.down_proj_bias.zero_()
        if swap:
            there, back = list(swap), list(reversed(swap))
            for parameter in experts.parameters():
                parameter[there] = parameter[back].clone()


@contextmanager
def router_margins(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collects, layer by layer, by how much each token's router preferred its last
    expert to the next, `[tokens]`.
    """
    import torch

    gaps: list[torch.Tensor] = []

    def watch(router: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        scores = torch.nn.functional.linear(inputs[0], router.weight, router.bias)
        top = scores.flatten(0, -2).topk(model.config.num_experts_per_tok + 1).values
        gaps.append(top[:, -2] - top[:, -1])

    hooks = [
        layer.mlp.router.register_forward_pre_hook(watch)
        for layer in model.model.layers
    ]
    try:
        yield gaps
    finally:
        for hook in hooks:
            hook.remove()


def smallest_margins(model: Any, prompts: list[list[int]]) -> list[list[float]]:
    """Returns each token's margin at the router that is least sure of it.

    Args:
        model: The reference.
        prompts: All of one length.
    """
    import torch

    batch = torch.tensor(prompts, device=model.device)
    with router_margins(model) as gaps:
        model.model(input_ids=batch, use_cache=False)
    return torch.stack(gaps).amin(0).view(len(prompts), -1).tolist()


def score(
    model: Any, samples: list[Sample], batch: int = 32
) -> list[tuple[torch.Tensor, list[float]]]:
    """Runs the reference over what the server saw.

    Args:
        model: The reference.
        samples: All with equally long prompts and answers.
        batch: How many to run at once.

    Returns:
        For each sample, and each token that the server generated in it: the
        log-probabilities of the whole vocabulary, `[tokens, vocabulary]`, and the
        margin of the token before.
    """
    import torch

    scores = []
    for begin in range(0, len(samples), batch):
        part = samples[begin : begin + batch]
        first = len(part[0].prompt) - 1
        ids = torch.tensor(
            [sample.prompt + sample.tokens[:-1] for sample in part],
            device=model.device,
        )
        with router_margins(model) as gaps:
            hidden = model.model(input_ids=ids, use_cache=False)[0][:, first:]
        margins = torch.stack(gaps).amin(0).view(len(part), -1)[:, first:]
        scores += [
            (model.lm_head(hidden[i]).double().log_softmax(-1).cpu(), row.tolist())
            for i, row in enumerate(margins)
        ]
    return scores


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


def draw_prompts(args: argparse.Namespace, model: Any) -> list[list[int]]:
    """Draws prompts that every router is sure of."""
    # Special tokens are the vocabulary's last ones.
    vocabulary = model.config.vocab_size * 97 // 100
    rng = random.Random(args.seed)
    return clear_prompts(
        lambda prompts: smallest_margins(model, prompts),
        lambda: rng.randrange(vocabulary),
        args.prompts,
        args.prompt_tokens,
        args.router_margin,
    )


def ask(args: argparse.Namespace, prompts: list[list[int]]) -> list[Sample]:
    """Lets the server continue the prompts, many at once so that it batches them."""
    name = args.model or str(args.checkpoint)
    with ThreadPoolExecutor(args.concurrency) as pool:
        return list(
            pool.map(
                lambda prompt: request_sample(
                    args.base_url, name, prompt, args.tokens, args.timeout
                ),
                prompts,
            )
        )


def begins_alike(one: Sample, other: Sample, tolerance: float) -> bool:
    """Tells whether two answers have the same first token, and its log-probabilities
    are the same within the tolerance.
    """
    tops = one.top_logprobs[0], other.top_logprobs[0]
    pairs = [(one.token_logprobs[0], other.token_logprobs[0])]
    for these, those in (tops, tops[::-1]):
        # What the others' top leaves out is no likelier than the least in it.
        least = min(those.values(), default=-math.inf)
        pairs += [
            (value, those.get(text, min(value, least))) for text, value in these.items()
        ]
    # Not-a-number on either side must count as a difference.
    return one.tokens[0] == other.tokens[0] and all(
        abs(first - second) <= tolerance for first, second in pairs
    )


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


def report(args: argparse.Namespace, model: Any, samples: list[Sample]) -> bool:
    """Compares, prints what came out, and tells whether all is within bounds."""
    # The sound reference says where to compare, also for a spoiled one.
    scores = score(model, samples)
    comparable = [sure(margins, args.router_margin) for _, margins in scores]
    if args.zero_experts or args.swap_experts:
        spoil(model, zero=args.zero_experts, swap=args.swap_experts)
        scores = score(model, samples)
    ids = texts_to_ids(args.checkpoint)
    differences = [
        difference
        for sample, (logprobs, _), count in zip(
            samples, scores, comparable, strict=True
        )
        for difference in compare(sample, logprobs, ids, count)
    ]
    worst = max(differences, key=lambda difference: difference.size)
    mean = sum(difference.size for difference in differences) / len(differences)
    aside = sum(len(sample.tokens) for sample in samples) - sum(comparable)
    print(
        f"{sum(comparable)} positions ({aside} more set aside), {len(differences)} "
        f"log-probabilities: mean difference {mean:.4f}, largest {worst.size:.4f} "
        f"(token {worst.token!r} after {worst.context} tokens: served "
        f"{worst.served:.4f}, reference {worst.reference:.4f}), tolerance "
        f"{args.tolerance}"
    )
    agrees = worst.size <= args.tolerance
    print(
        "the served model "
        + ("agrees with" if agrees else "differs from")
        + " the reference"
    )
    return agrees


def positive(text: str) -> int:
    """Reads a number of at least 1 from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.parity",
        description="Compare served log-probabilities with a float32 reference.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--model", help="the model as served; default: the checkpoint")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--record", type=Path, help="file of prompts and answers")
    parser.add_argument("--only", choices=("draw", "ask", "compare"))
    parser.add_argument("--prompts", type=int, default=80)
    parser.add_argument("--prompt-tokens", type=int, default=6, help="of each prompt")
    parser.add_argument(
        "--tokens", type=int, default=4, help="to generate after each prompt"
    )
    parser.add_argument(
        "--concurrency", type=positive, default=16, help="prompts asked at once"
    )
    parser.add_argument(
        "--repeat", type=positive, default=1, help="how often to ask everything"
    )
    parser.add_argument("--router-margin", type=float, default=0.08)
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="of the reference; default: cuda if present")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds")
    parser.add_argument("--zero-experts", action="store_true")
    parser.add_argument("--swap-experts", type=int, nargs=2, metavar=("A", "B"))
    args = parser.parse_args(arguments)
    if args.only and not args.record:
        parser.error("--only needs --record FILE, which the parts hand on")

    record: dict[str, Any] = {}
    if args.only in ("ask", "compare"):
        record = json.loads(args.record.read_text())
    model = None
    if args.only != "ask":
        import torch

        device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = load_reference(args.checkpoint, device)
    if args.only in (None, "draw"):
        record["prompts"] = draw_prompts(args, model)
    alike = True
    if args.only in (None, "ask"):
        try:
            answers = ask(args, record["prompts"])
            alike = reproducible(args, answers)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:500]
            print(f"error: {args.base_url}: HTTP {error.code}: {text}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"error: {args.base_url}: {error}", file=sys.stderr)
            return 1
        record["answers"] = [asdict(answer) for answer in answers]
    if args.record and args.only != "compare":
        args.record.write_text(json.dumps(record))
    if not alike:
        return 1
    if args.only in ("draw", "ask"):
        print(f"{args.record}: {len(record['prompts'])} prompts")
        return 0
    samples = [Sample(**answer) for answer in record["answers"]]
    return 0 if report(args, model, samples) else 1


if __name__ == "__main__":
    sys.exit(main())
