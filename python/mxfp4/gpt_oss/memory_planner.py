"""Plans memory for experts that stay packed."""

from __future__ import annotations

import math

from max.pipelines.architectures.gpt_oss.memory_planner import (
    GptOssMemoryPlanner as BuiltinPlanner,
)
from max.pipelines.lib.config import PipelineConfig
from transformers import AutoConfig

from mxfp4.ops import GROUP, SPARE_ROWS, packed_shape

RUNTIME_BYTES = 2 << 30
"""Set aside for the CUDA context, kernels and allocator fragmentation."""

DEFAULT_BATCH = 512
"""What MAX serves at most when no batch size is asked for."""


class GptOssMemoryPlanner(BuiltinPlanner):
    """Counts the packed weights and the activations, and nothing dequantized."""

    def estimate_weights_size(self, pipeline_config: PipelineConfig) -> int:
        """Returns the checkpoint's size plus the padding that packing adds."""
        config = pipeline_config.model.huggingface_config
        return super().estimate_weights_size(pipeline_config) + packing_overhead(config)

    def estimate_activation_memory(
        self, pipeline_config: PipelineConfig, huggingface_config: AutoConfig
    ) -> int:
        """Returns what one step holds beside the weights and the KV cache."""
        runtime = pipeline_config.runtime
        tokens = runtime.max_batch_input_tokens
        batch = runtime.max_batch_size or DEFAULT_BATCH
        rows = max(tokens, batch)
        return RUNTIME_BYTES + activation_bytes(
            huggingface_config,
            tokens=rows,
            logits=rows if pipeline_config.model.enable_echo else batch,
        )


def packing_overhead(config: AutoConfig) -> int:
    """Returns the bytes by which packed experts exceed the checkpoint's."""
    hidden, inter = config.hidden_size, config.intermediate_size
    extra = 0
    for rows, cols in ((2 * inter, hidden), (hidden, inter)):
        packed = math.prod(packed_shape(1, rows, cols))
        extra += packed - rows * (cols // 2 + cols // GROUP)
    return extra * config.num_local_experts * config.num_hidden_layers


def activation_bytes(config: AutoConfig, *, tokens: int, logits: int) -> int:
    """Returns the peak of one layer's and the head's intermediate tensors.

    Args:
        config: The model's configuration.
        tokens: Tokens in the step.
        logits: Positions whose logits the step returns.
    """
    hidden, inter = config.hidden_size, config.intermediate_size
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    # Routed rows: SwiGLU output, expert output.
    experts = config.num_experts_per_tok * (hidden + inter)
    # Tokens: two residual streams, norm, attention's queries, keys, values, output.
    attention = 4 * hidden + 2 * heads * config.head_dim
    # Logits in float32: as the head leaves them, without its spare rows, and the
    # sampler's two copies.
    spare = -logits % SPARE_ROWS
    head = config.vocab_size * (4 * logits + spare) * 4
    return tokens * (experts + attention) * 2 + head
