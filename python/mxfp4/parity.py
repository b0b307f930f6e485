"""Compares a served model's log-probabilities with transformers' in float32.

    python -m mxfp4.parity --checkpoint DIR --model M [--base-url URL]

The server generates greedily and reports each token's top log-probabilities.
The reference reads the same checkpoint, dequantizes its experts, and scores the
same tokens in float32. Exits 0 where every log-probability that the server
reported is within the tolerance, 1 where one is not.

A router that all but ties between its last chosen expert and the next one may
choose either in bfloat16, and a different expert is a different answer. Positions
where the reference's own routers come that close (`--router-margin`) are set
aside, counted, and not compared; at least `--positions` must remain.

`--zero-experts` and `--swap-experts A B` spoil the reference: with either the
comparison has to fail, which shows that it would notice.

Needs torch, transformers and safetensors; neither MAX nor this project's SDK.
The server must run without the overlap scheduler, which is MAX's default here.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

    position: int
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


def score(model: Any, sample: Sample, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores a sample's tokens.

    Returns:
        The log-probabilities, `[tokens, vocabulary]`, and for each token by how much
        the closest of its routers preferred its last expert to the next, `[tokens]`.
    """
    import torch

    gaps = []

    def watch(router: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        scores = torch.nn.functional.linear(inputs[0], router.weight, router.bias)
        top = scores.flatten(0, -2).topk(model.config.num_experts_per_tok + 1).values
        gaps.append(top[:, -2] - top[:, -1])

    hooks = [
        layer.mlp.router.register_forward_pre_hook(watch)
        for layer in model.model.layers
    ]
    try:
        ids = torch.tensor([sample.prompt + sample.tokens[:-1]], device=device)
        logits = model(input_ids=ids, use_cache=False).logits[0]
    finally:
        for hook in hooks:
            hook.remove()
    first = len(sample.prompt) - 1
    margins = torch.stack(gaps).amin(0)
    return logits[first:].double().log_softmax(-1).cpu(), margins[first:].cpu()


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


def compare(
    sample: Sample,
    reference: Any,
    ids: dict[str, list[int]],
    positions: Iterable[int],
) -> list[Difference]:
    """Sets the server's log-probabilities at some positions beside the reference's.

    A text that several tokens share counts as the one that agrees best.
    """
    differences = []
    for position in positions:
        token = sample.tokens[position]
        row = reference[position]
        served = sample.token_logprobs[position]
        differences.append(Difference(position, f"#{token}", served, float(row[token])))
        for text, value in sample.top_logprobs[position].items():
            candidates = ids.get(text)
            if not candidates:
                raise ValueError(f"the server names a token {text!r}, which is none")
            differences.append(
                min(
                    (
                        Difference(position, text, value, float(row[candidate]))
                        for candidate in candidates
                    ),
                    key=lambda difference: difference.size,
                )
            )
    return differences


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.parity",
        description="Compare served log-probabilities with a float32 reference.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--model", help="the model as served; default: the checkpoint")
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument(
        "--prompt-tokens",
        type=int,
        default=160,
        help="length of each prompt; the default exceeds the sliding window",
    )
    parser.add_argument("--tokens", type=int, default=48, help="per prompt")
    parser.add_argument(
        "--positions", type=int, default=64, help="to compare, at the least"
    )
    parser.add_argument(
        "--router-margin",
        type=float,
        default=0.03,
        help="set positions aside whose router scores are this close",
    )
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="of the reference; default: cuda if present")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds")
    parser.add_argument("--zero-experts", action="store_true")
    parser.add_argument("--swap-experts", type=int, nargs=2, metavar=("A", "B"))
    args = parser.parse_args(arguments)

    import torch

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    ids = texts_to_ids(args.checkpoint)
    config = json.loads((args.checkpoint / "config.json").read_text())
    # Special tokens are the vocabulary's last ones.
    vocabulary = config["vocab_size"] * 97 // 100
    rng = random.Random(args.seed)
    prompts = [
        [rng.randrange(vocabulary) for _ in range(args.prompt_tokens)]
        for _ in range(args.prompts)
    ]
    model_name = args.model or str(args.checkpoint)
    try:
        # All at once, so that the server batches them.
        with ThreadPoolExecutor(args.prompts) as pool:
            samples = list(
                pool.map(
                    lambda prompt: request_sample(
                        args.base_url, model_name, prompt, args.tokens, args.timeout
                    ),
                    prompts,
                )
            )
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:500]
        print(f"error: {args.base_url}: HTTP {error.code}: {text}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {args.base_url}: {error}", file=sys.stderr)
        return 1

    model = load_reference(args.checkpoint, device)
    spoil(model, zero=args.zero_experts, swap=args.swap_experts)
    total, compared, differences = 0, 0, []
    for sample in samples:
        reference, margins = score(model, sample, device)
        clear = [i for i, gap in enumerate(margins) if gap >= args.router_margin]
        total += len(sample.tokens)
        compared += len(clear)
        differences += compare(sample, reference, ids, clear)
    if compared < args.positions:
        print(
            f"error: {compared} of {total} positions can be compared, fewer than "
            f"{args.positions}; ask for more with --prompts and --tokens",
            file=sys.stderr,
        )
        return 1
    worst = max(differences, key=lambda difference: difference.size)
    mean = sum(difference.size for difference in differences) / len(differences)
    print(
        f"{compared} positions ({total - compared} more set aside as near-ties of a "
        f"router), {len(differences)} log-probabilities: mean difference {mean:.4f}, "
        f"largest {worst.size:.4f} (served {worst.served:.4f}, reference "
        f"{worst.reference:.4f}), tolerance {args.tolerance}"
    )
    if worst.size > args.tolerance:
        print("the served model differs from the reference")
        return 1
    print("the served model agrees with the reference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
