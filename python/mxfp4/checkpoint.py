"""Writes a GPT-OSS checkpoint with random weights, in the published layout.

    python -m mxfp4.checkpoint OUT [--size tiny|20b|120b] [--layers N] [--seed S]
        [--sparse]

Tensor names, shapes and dtypes are those of the published models; `tiny` keeps
the structure and shrinks every dimension. The tokenizer is byte-level, with
placeholder tokens up to the vocabulary's end, so that every token decodes. With
`--sparse` the tensors are holes in their files: zeros, which take no disk and are
enough to compile a model, or to see whether it fits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Size:
    """The dimensions in which GPT-OSS models differ."""

    hidden: int
    intermediate: int
    experts: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    head_dim: int = 64
    special: int = 199998
    """Id of `<|startoftext|>`, the first special token."""


SIZES = {
    "tiny": Size(256, 256, 8, 2, 4, 2, 1024, special=1000),
    "20b": Size(2880, 2880, 32, 24, 64, 8, 201088),
    "120b": Size(2880, 2880, 128, 36, 64, 8, 201088),
}

# Offsets from `<|startoftext|>`, as in the published vocabulary.
SPECIAL_TOKENS = {
    "<|startoftext|>": 0,
    "<|endoftext|>": 1,
    "<|return|>": 4,
    "<|constrain|>": 5,
    "<|channel|>": 7,
    "<|start|>": 8,
    "<|end|>": 9,
    "<|message|>": 10,
    "<|call|>": 14,
}

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<|start|>{{ message['role'] }}<|message|>{{ message['content'] }}<|end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"
)


@dataclass(frozen=True)
class Tensor:
    """A tensor to write, and how its values are drawn."""

    name: str
    shape: tuple[int, ...]
    kind: str
    """`normal` and `ones` are bfloat16, `blocks` and `scales` uint8."""

    deviation: float = 0.02

    @property
    def dtype(self) -> str:
        return "uint8" if self.kind in ("blocks", "scales") else "bfloat16"

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Returns random contents; bfloat16 as its bits, in uint16."""
        count = int(np.prod(self.shape))
        if self.kind == "blocks":
            return rng.integers(0, 256, count, np.uint8)
        if self.kind == "scales":
            # 2^-8 to 2^-6: activations neither die nor overflow.
            return rng.integers(119, 122, count, np.uint8)
        if self.kind == "ones":
            values = np.ones(count, np.float32)
        else:
            values = rng.standard_normal(count, np.float32)
            values *= np.float32(self.deviation)
        return (values.view(np.uint32) >> 16).astype(np.uint16)


def shards(size: Size) -> list[list[Tensor]]:
    """Returns the tensors of each file: the embeddings', then each layer's."""
    return [
        [
            Tensor("model.embed_tokens.weight", (size.vocab, size.hidden), "normal", 1),
            Tensor("model.norm.weight", (size.hidden,), "ones"),
            Tensor("lm_head.weight", (size.vocab, size.hidden), "normal"),
        ],
        *(list(_layer(size, f"model.layers.{i}.")) for i in range(size.layers)),
    ]


def _layer(size: Size, prefix: str) -> Iterator[Tensor]:
    hidden, inter, experts = size.hidden, size.intermediate, size.experts
    queries, keys = size.heads * size.head_dim, size.kv_heads * size.head_dim
    yield Tensor(f"{prefix}input_layernorm.weight", (hidden,), "ones")
    yield Tensor(f"{prefix}post_attention_layernorm.weight", (hidden,), "ones")
    for name, rows, cols in (
        ("self_attn.q_proj", queries, hidden),
        ("self_attn.k_proj", keys, hidden),
        ("self_attn.v_proj", keys, hidden),
        ("self_attn.o_proj", hidden, queries),
        ("mlp.router", experts, hidden),
    ):
        yield Tensor(f"{prefix}{name}.weight", (rows, cols), "normal")
        yield Tensor(f"{prefix}{name}.bias", (rows,), "normal")
    yield Tensor(f"{prefix}self_attn.sinks", (size.heads,), "normal")
    for name, rows, cols in (
        ("gate_up_proj", 2 * inter, hidden),
        ("down_proj", hidden, inter),
    ):
        stem = f"{prefix}mlp.experts.{name}"
        yield Tensor(f"{stem}_blocks", (experts, rows, cols // 32, 16), "blocks")
        yield Tensor(f"{stem}_scales", (experts, rows, cols // 32), "scales")
        yield Tensor(f"{stem}_bias", (experts, rows), "normal")


def config(size: Size) -> dict[str, object]:
    """Returns the contents of `config.json`."""
    start = size.special
    layer_types = ("sliding_attention", "full_attention")
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "torch_dtype": "bfloat16",
        "vocab_size": size.vocab,
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "num_local_experts": size.experts,
        "num_experts_per_tok": 4,
        "experts_per_token": 4,
        "layer_types": [layer_types[i % 2] for i in range(size.layers)],
        "sliding_window": 128,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "rms_norm_eps": 1e-05,
        "rope_theta": 150000,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 4096,
            "truncate": False,
        },
        "initial_context_length": 4096,
        "max_position_embeddings": 131072,
        "initializer_range": 0.02,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.9,
        "tie_word_embeddings": False,
        "use_cache": True,
        "eos_token_id": start + SPECIAL_TOKENS["<|return|>"],
        "pad_token_id": start + SPECIAL_TOKENS["<|endoftext|>"],
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
        },
    }


def write_tokenizer(folder: Path, size: Size) -> None:
    """Writes a byte-level tokenizer with GPT-OSS's special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    start = size.special
    ids = {token: start + offset for token, offset in SPECIAL_TOKENS.items()}
    names = {i: token for token, i in ids.items()}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {char: i for i, char in enumerate(alphabet)}
    vocab |= {f"<{i}>": i for i in range(len(alphabet), start)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(names.get(i, f"<|reserved_{i}|>"), special=True)
            for i in range(start, size.vocab)
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|startoftext|>",
            "eos_token": "<|return|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 131072,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def _write_hole(file: Path, tensors: list[Tensor]) -> int:
    """Writes a file whose tensors are all zero, and returns their bytes.

    A safetensors file is the length of its header in 8 bytes, the header in JSON, and
    the tensors; what writes one from arrays would write their zeros too.
    """
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        small = tensor.dtype == "uint8"
        begin, end = end, end + math.prod(tensor.shape) * (1 if small else 2)
        entries[tensor.name] = {
            "dtype": "U8" if small else "BF16",
            "shape": tensor.shape,
            "data_offsets": (begin, end),
        }
    header = json.dumps(entries).encode()
    # Tensors begin at a multiple of 8.
    header += b" " * (-len(header) % 8)
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        out.truncate(8 + len(header) + end)
    return end


def write(folder: Path, size: Size, seed: int = 0, sparse: bool = False) -> int:
    """Writes a checkpoint and returns the bytes of its tensors.

    The same size and seed give the same bytes; where it is sparse, all are zero.
    """
    from safetensors import TensorSpec, serialize_file

    folder.mkdir(parents=True, exist_ok=True)
    files = shards(size)
    weight_map: dict[str, str] = {}
    total = 0
    with ThreadPoolExecutor() as pool:
        for number, tensors in enumerate(files):
            file = f"model-{number:05d}-of-{len(files) - 1:05d}.safetensors"
            weight_map |= dict.fromkeys((tensor.name for tensor in tensors), file)
            if sparse:
                total += _write_hole(folder / file, tensors)
                continue
            generators = [
                np.random.default_rng((seed, number, i)) for i in range(len(tensors))
            ]
            arrays = list(pool.map(Tensor.draw, tensors, generators))
            # The specifications point into `arrays`, which outlive the call.
            specs = {
                tensor.name: TensorSpec(
                    dtype=tensor.dtype,
                    shape=tensor.shape,
                    data_ptr=array.ctypes.data,
                    data_len=array.nbytes,
                )
                for tensor, array in zip(tensors, arrays, strict=True)
            }
            serialize_file(specs, str(folder / file), {"format": "pt"})
            total += sum(array.nbytes for array in arrays)
    _write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": weight_map},
    )
    values = config(size)
    _write_json(folder / "config.json", values)
    _write_json(
        folder / "generation_config.json",
        {
            "do_sample": True,
            "eos_token_id": [values["eos_token_id"]],
            "pad_token_id": values["pad_token_id"],
        },
    )
    write_tokenizer(folder, size)
    return total


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.checkpoint",
        description="Write a GPT-OSS checkpoint with random or no weights.",
    )
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--layers", type=_positive, help="number of layers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--sparse", action="store_true", help="zeros that take no disk, as holes"
    )
    args = parser.parse_args(arguments)

    size = SIZES[args.size]
    if args.layers:
        size = Size(**{**vars(size), "layers": args.layers})
    try:
        total = write(args.out, size, args.seed, args.sparse)
    except OSError as error:
        print(f"error: cannot write the checkpoint: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {size.layers} layers, {total / 1e9:.3f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
