"""Plans memory for experts that stay packed, on one GPU or several."""

from __future__ import annotations

import math

from max.pipelines.architectures.gpt_oss.memory_planner import (
    GptOssMemoryPlanner as BuiltinPlanner,
)
from max.pipelines.lib.config import PipelineConfig
from transformers import AutoConfig

from mxfp4.gpt_oss.shares import shares
from mxfp4.kernels.ops import GROUP, packed_shape

RUNTIME_BYTES = 2 << 30
"""Set aside on each GPU for the CUDA context, kernels and allocator fragmentation."""

DEFAULT_BATCH = 512
"""What MAX serves at most when no batch size is asked for."""


class GptOssMemoryPlanner(BuiltinPlanner):
    """Counts the packed weights and the activations, and nothing dequantized.

    MAX adds up the memory of all GPUs and divides what is left for the KV cache
    evenly, so each GPU counts as the one that holds most: the first.
    """

    def estimate_weights_size(self, pipeline_config: PipelineConfig) -> int:
        """Returns what the weights take, packed."""
        model = pipeline_config.model
        devices = len(model.device_specs)
        checkpoint = super().estimate_weights_size(pipeline_config)
        return devices * weight_bytes(model.huggingface_config, checkpoint, devices)

    def estimate_activation_memory(
        self, pipeline_config: PipelineConfig, huggingface_config: AutoConfig
    ) -> int:
        """Returns what one step holds beside the weights and the KV cache."""
        runtime = pipeline_config.runtime
        tokens = runtime.max_batch_input_tokens
        if not runtime.enable_chunked_prefill:
            # Then a prompt goes through whole, however long.
            tokens = max(tokens, pipeline_config.model.max_length or 0)
        batch = runtime.max_batch_size or DEFAULT_BATCH
        rows = max(tokens, batch)
        devices = len(pipeline_config.model.device_specs)
        each = RUNTIME_BYTES + activation_bytes(
            huggingface_config,
            tokens=rows,
            logits=rows if pipeline_config.model.enable_echo else batch,
            devices=devices,
        )
        return devices * each


def weight_bytes(config: AutoConfig, checkpoint: int, devices: int) -> int:
    """Returns what the first GPU's weights take.

    Args:
        config: The model's configuration.
        checkpoint: The size of the checkpoint.
        devices: Among how many GPUs it is divided.
    """
    experts = stored_bytes(config)
    # The embedding is looked up on the first GPU, and not divided.
    embedding = config.vocab_size * config.hidden_size * 2
    rest = max(0, checkpoint - experts - embedding)
    share = len(shares(config.intermediate_size, devices)[0])
    return embedding + -(-rest // devices) + packed_bytes(config, share)


def stored_bytes(config: AutoConfig) -> int:
    """Returns what the blocks and scales of all experts take in the checkpoint."""
    weights = 3 * config.intermediate_size * config.hidden_size
    experts = config.num_local_experts * config.num_hidden_layers
    return experts * (weights // 2 + weights // GROUP)


def packed_bytes(config: AutoConfig, inter: int) -> int:
    """Returns what a GPU's share of all experts takes, padding included.

    Args:
        config: The model's configuration.
        inter: How many of the intermediate features the GPU has.
    """
    hidden, experts = config.hidden_size, config.num_local_experts
    layer = sum(
        math.prod(packed_shape(experts, *shape))
        for shape in ((2 * inter, hidden), (hidden, inter))
    )
    return layer * config.num_hidden_layers


def activation_bytes(
    config: AutoConfig, *, tokens: int, logits: int, devices: int = 1
) -> int:
    """Returns the peak of one layer's and the head's intermediate tensors on a GPU.

    Args:
        config: The model's configuration.
        tokens: Tokens in the step.
        logits: Positions whose logits the step returns.
        devices: Among how many GPUs the model is divided.
    """
    hidden = config.hidden_size
    inter = len(shares(config.intermediate_size, devices)[0])
    heads = (config.num_attention_heads + 2 * config.num_key_value_heads) // devices
    # Routed rows: SwiGLU output, expert output.
    experts = config.num_experts_per_tok * (hidden + inter)
    # Tokens: two residual streams, norm, attention's queries, keys, values, output,
    # and what several GPUs summed up.
    attention = (4 + (devices > 1)) * hidden + 2 * heads * config.head_dim
    # Logits in float32: as the head leaves them, and the sampler's two copies. Of
    # several GPUs each has a share of the first, then all shares, and those side by
    # side.
    head = logits
    if devices > 1:
        head = -(-head // devices) + 2 * logits
    return (
        tokens * (experts + attention) * 2 + config.vocab_size * (head + 2 * logits) * 4
    )
