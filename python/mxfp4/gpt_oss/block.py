"""One decoder layer, on one device or divided among several."""

from __future__ import annotations

from collections.abc import Sequence

from max.graph import BufferValue, ShardingStrategy, TensorValue, ops
from max.nn.kv_cache import PagedCacheValues
from max.nn.layer import Module
from max.nn.transformer.distributed_transformer import forward_sharded_layers
from max.pipelines.architectures.gpt_oss.layers.attention import GptOssAttention
from max.pipelines.architectures.gpt_oss.layers.transformer_block import (
    GptOssTransformerBlock,
)

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.dense import Linear
from mxfp4.gpt_oss.moe import GptOssMoE
from mxfp4.gpt_oss.rope import RotaryEmbedding


class TransformerBlock(Module):
    """The built-in block with its projections, rotations and experts replaced."""

    only_last = False
    """Whether only the last token of each sequence goes on to the experts."""

    def __init__(
        self,
        builtin: GptOssTransformerBlock,
        config: GptOssConfig,
        rope: RotaryEmbedding,
    ) -> None:
        super().__init__()
        self.input_layernorm = builtin.input_layernorm
        self.input_layernorm_shards = builtin.input_layernorm_shards
        self.post_attention_layernorm = builtin.post_attention_layernorm
        self.post_attention_layernorm_shards = builtin.post_attention_layernorm_shards
        self.self_attn = builtin.self_attn
        self.self_attn_shards = _attention_shards(builtin.self_attn, config, rope)
        self.mlp = GptOssMoE(config)

    def __call__(
        self,
        xs: Sequence[TensorValue],
        signal_buffers: Sequence[BufferValue],
        kv_collections: Sequence[PagedCacheValues],
        input_row_offsets: Sequence[TensorValue],
    ) -> list[TensorValue]:
        normed = forward_sharded_layers(self.input_layernorm_shards, xs)
        attended = [
            shard(x, cache, input_row_offsets=offsets)
            for shard, x, cache, offsets in zip(
                self.self_attn_shards,
                normed,
                kv_collections,
                input_row_offsets,
                strict=True,
            )
        ]
        xs = _add(xs, ops.allreduce.sum(attended, signal_buffers))
        if self.only_last:
            xs = [
                ops.gather(x, offsets[1:] - 1, axis=0)
                for x, offsets in zip(xs, input_row_offsets, strict=True)
            ]
        normed = forward_sharded_layers(self.post_attention_layernorm_shards, xs)
        return _add(
            xs, ops.allreduce.sum(self.mlp(normed, signal_buffers), signal_buffers)
        )


def _add(xs: Sequence[TensorValue], ys: Sequence[TensorValue]) -> list[TensorValue]:
    return [x + y for x, y in zip(xs, ys, strict=True)]


def _attention_shards(
    attention: GptOssAttention, config: GptOssConfig, rope: RotaryEmbedding
) -> list[GptOssAttention]:
    """Replaces projections and rotations, and divides the heads among the devices."""
    attention.rope = rope
    device, hidden = config.devices[0], config.hidden_size
    query, other = attention.q_weight_dim, attention.kv_weight_dim
    # Joined at load, by `projections`.
    attention.qkv_proj = Linear.sized(hidden, query + 2 * other, device)
    attention.o_proj = Linear.sized(query, hidden, device)
    devices = len(config.devices)
    attention.sharding_strategy = ShardingStrategy.tensor_parallel(devices)
    return attention.shard(config.devices)
