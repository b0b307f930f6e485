"""transformers' GPT-OSS as the reference of `mxfp4.parity`, run layer by layer.

All samples go through one layer before the next, so that a layer can be read from
the checkpoint, dequantized, and dropped: GPT-OSS-20B takes 84 GB in float32, and one
of its layers 3.3 GB. Attention is computed for some hundred queries at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.gpt_oss.modeling_gpt_oss import (
    GptOssDecoderLayer,
    GptOssRMSNorm,
    GptOssRotaryEmbedding,
    eager_attention_forward,
)

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

QUERIES = 256
"""How many queries attend at a time."""

TOKENS = 8192
"""How many tokens of samples of one length go through a layer at a time."""


@dataclass(frozen=True)
class Spoil:
    """How to make the reference wrong on purpose."""

    zero: bool = False
    swap: tuple[int, int] | None = None

    def apply(self, layer: Any) -> None:
        """Zeros a layer's experts, or swaps two."""
        experts = layer.mlp.experts
        if self.zero:
            experts.down_proj.zero_()
            experts.down_proj_bias.zero_()
        if self.swap:
            there, back = list(self.swap), list(reversed(self.swap))
            for parameter in experts.parameters():
                parameter[there] = parameter[back].clone()


def dequantize(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Returns `[N, K]` bfloat16 weights of one expert.

    Args:
        blocks: `[N, K / 32, 16]` uint8; the low nibble is the even element.
        scales: `[N, K / 32]` uint8, biased exponents; 255 is not a number.
    """
    codes = torch.tensor([*E2M1, *(-value for value in E2M1)], device=blocks.device)
    byte = torch.arange(256, device=blocks.device)
    pairs = torch.stack((codes[byte & 15], codes[byte >> 4]), dim=-1)
    # Exact in float32, but where bfloat16 has infinity too.
    powers = torch.exp2(scales.double() - 127).float()
    powers[scales == 255] = float("nan")
    values = pairs[blocks.int()].flatten(-2) * powers[..., None]
    return values.flatten(-2).to(torch.bfloat16)


def blockwise_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' eager attention over some queries after the other."""
    parts = []
    for begin in range(0, query.shape[2], QUERIES):
        end = min(begin + QUERIES, query.shape[2])
        keys = torch.arange(end, device=query.device)
        queries = keys[begin:, None]
        hidden = keys > queries
        if sliding_window is not None:
            hidden |= keys <= queries - sliding_window
        mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device)
        mask.masked_fill_(hidden, float("-inf"))
        part, _ = eager_attention_forward(
            module,
            query[:, :, begin:end],
            key[:, :, :end],
            value[:, :, :end],
            mask,
            scaling,
        )
        parts.append(part)
    return torch.cat(parts, dim=1), None


ALL_ATTENTION_FUNCTIONS.register("mxfp4_blockwise", blockwise_attention)


class Reference:
    """The model of a published checkpoint.

    Args:
        folder: The checkpoint.
        device: Where to compute.
        dtype: In what to compute; norms always are in float32, as transformers has
            them.
        keep: Whether to keep the layers once they are read.
        spoil: How to make it wrong.
    """

    def __init__(
        self,
        folder: Path,
        device: str,
        dtype: torch.dtype = torch.float32,
        *,
        keep: bool = True,
        spoil: Spoil | None = None,
    ) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        self.folder, self.device, self.dtype = folder, device, dtype
        self.spoil = spoil
        self.config = AutoConfig.from_pretrained(folder)
        if hasattr(self.config, "quantization_config"):
            del self.config.quantization_config
        self.config._attn_implementation = "mxfp4_blockwise"
        self.config._experts_implementation = "eager"
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        self.files: dict[str, str] = index["weight_map"]
        self._kept: dict[int, Any] | None = {} if keep else None
        self._rotary = GptOssRotaryEmbedding(self.config).to(device)

    @torch.no_grad()
    def run(
        self, samples: Sequence[list[int]], starts: Sequence[int]
    ) -> list[tuple[torch.Tensor, list[float]]]:
        """Runs samples through the model.

        Args:
            samples: Their tokens, of any lengths.
            starts: From which of its tokens on each sample's results are wanted.

        Returns:
            For each sample: the hidden states before the head, `[tokens, hidden]`,
            and by how much each token's routers preferred their last expert to the
            next, at the router that is least sure.
        """
        batches = _batches(samples)
        embedding = self._tensor("model.embed_tokens.weight")
        hidden = [
            embedding[torch.tensor([samples[i] for i in batch], device=self.device)]
            for batch in batches
        ]
        del embedding
        margins = [
            torch.full(part.shape[:2], float("inf"), device=self.device)
            for part in hidden
        ]
        for number in range(self.config.num_hidden_layers):
            layer = self._layer(number)
            for i, part in enumerate(hidden):
                positions = torch.arange(part.shape[1], device=self.device)[None]
                with _router_margins(layer, self.config.num_experts_per_tok) as gaps:
                    hidden[i] = layer(
                        part, position_embeddings=self._rotary(part, positions)
                    )
                least = torch.minimum(margins[i].flatten(), gaps[0].float())
                margins[i] = least.view_as(margins[i])
        norm = GptOssRMSNorm(self.config.hidden_size, self.config.rms_norm_eps)
        norm.weight.data = self._tensor("model.norm.weight").float()
        results: list[Any] = [None] * len(samples)
        for batch, part, gap in zip(batches, hidden, margins, strict=True):
            for row, i in enumerate(batch):
                start = starts[i]
                results[i] = norm(part[row, start:]), gap[row, start:].tolist()
        return results

    def smallest_margins(self, prompts: list[list[int]]) -> list[list[float]]:
        """Returns each token's margin at the router that is least sure of it."""
        return [margins for _, margins in self.run(prompts, [0] * len(prompts))]

    @torch.no_grad()
    def score(
        self, prompts: Sequence[list[int]], answers: Sequence[list[int]]
    ) -> list[tuple[torch.Tensor, list[float]]]:
        """Runs over what a server saw.

        Args:
            prompts: The tokens of each prompt.
            answers: The tokens that were generated after each.

        Returns:
            For each answer, and each token in it: the log-probabilities of the
            whole vocabulary, `[tokens, vocabulary]`, and the margin of the token
            before.
        """
        runs = self.run(
            [
                prompt + answer[:-1]
                for prompt, answer in zip(prompts, answers, strict=True)
            ],
            [len(prompt) - 1 for prompt in prompts],
        )
        tied = "lm_head.weight" not in self.files
        head = self._tensor("model.embed_tokens.weight" if tied else "lm_head.weight")
        return [
            ((hidden @ head.T).double().log_softmax(-1).float().cpu(), margins)
            for hidden, margins in runs
        ]

    def _layer(self, number: int) -> Any:
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        with torch.device("meta"):
            layer = GptOssDecoderLayer(self.config, number).to(self.dtype)
        for module in layer.modules():
            if isinstance(module, GptOssRMSNorm):
                module.float()
        layer = layer.to_empty(device=self.device).eval().requires_grad_(False)
        for name, parameter in layer.named_parameters():
            self._load(f"model.layers.{number}.{name}", parameter)
        if self.spoil:
            self.spoil.apply(layer)
        if self._kept is not None:
            self._kept[number] = layer
        return layer

    def _load(self, name: str, parameter: torch.Tensor) -> None:
        if f"{name}_blocks" not in self.files:
            parameter.copy_(self._raw(name))
            return
        blocks, scales = self._raw(f"{name}_blocks"), self._raw(f"{name}_scales")
        for expert in range(parameter.shape[0]):
            # transformers keeps its experts transposed.
            parameter[expert] = dequantize(blocks[expert], scales[expert]).T

    def _tensor(self, name: str) -> torch.Tensor:
        return self._raw(name).to(self.dtype)

    def _raw(self, name: str) -> torch.Tensor:
        if name not in self.files:
            raise ValueError(f"the checkpoint lacks {name}")
        file = self.folder / self.files[name]
        with safe_open(file, framework="pt", device=self.device) as tensors:
            return tensors.get_tensor(name)


def _batches(samples: Sequence[list[int]]) -> list[list[int]]:
    """Groups samples of one length, as many as go through a layer at a time."""
    lengths: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        lengths.setdefault(len(sample), []).append(i)
    batches = []
    for length, members in lengths.items():
        most = max(1, TOKENS // length)
        batches += [members[i : i + most] for i in range(0, len(members), most)]
    return batches


@contextmanager
def _router_margins(layer: Any, top: int) -> Iterator[list[torch.Tensor]]:
    """Collects by how much a layer's router preferred each token's last expert."""
    gaps: list[torch.Tensor] = []

    def watch(router: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        scores = torch.nn.functional.linear(inputs[0], router.weight, router.bias)
        best = scores.flatten(0, -2).topk(top + 1).values
        gaps.append(best[:, -2] - best[:, -1])

    hook = layer.mlp.router.register_forward_pre_hook(watch)
    try:
        yield gaps
    finally:
        hook.remove()
