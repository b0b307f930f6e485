"""The pipeline model: the built-in GPT-OSS with packed experts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from max.driver import Buffer
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import BufferValue, TensorValue
from max.nn.kv_cache import PagedCacheValues
from max.nn.layer import LayerList, Module
from max.nn.transformer import ReturnLogits
from max.nn.transformer.distributed_transformer import forward_sharded_layers
from max.pipelines.architectures.gpt_oss.gpt_oss import GptOss as BuiltinGptOss
from max.pipelines.architectures.gpt_oss.gpt_oss import GptOssTextModel
from max.pipelines.architectures.gpt_oss.model import GptOssInputs
from max.pipelines.architectures.gpt_oss.model import GptOssModel as BuiltinModel
from max.pipelines.context import LogProbabilities
from max.pipelines.lib import ModelInputs, ModelOutputs
from max.pipelines.lib.graph_specs import GraphRole, GraphSpec
from max.pipelines.lib.log_probabilities import LogProbabilitiesMixin

from mxfp4.gpt_oss import self_check
from mxfp4.gpt_oss.block import TransformerBlock
from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.dense import LogitsHead
from mxfp4.gpt_oss.inputs import BatchProcessor
from mxfp4.gpt_oss.packing import pack_experts
from mxfp4.gpt_oss.projections import join_projections
from mxfp4.gpt_oss.rope import RotaryEmbedding
from mxfp4.gpt_oss.shares import to_all
from mxfp4.kernels import guard


class TextModel(GptOssTextModel):
    """The built-in decoder; experts, projections, rotations and head replaced."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__(config)
        rope = RotaryEmbedding.like(self.layers[0].self_attn.rope)
        blocks = [TransformerBlock(layer, config, rope) for layer in self.layers]
        # Of a prompt, only the last token's logits are asked for: nothing reads what
        # the experts of the last layer would make of the others.
        self.only_last = config.return_logits == ReturnLogits.LAST_TOKEN
        blocks[-1].only_last = self.only_last
        self.layers = LayerList(blocks)
        # A tied head shares the embedding's weight; GPT-OSS as published has its own.
        if not config.tie_word_embeddings:
            self.lm_head = LogitsHead(config)

    def __call__(
        self,
        tokens: TensorValue,
        signal_buffers: Sequence[BufferValue],
        sliding_kv_collections: Sequence[PagedCacheValues],
        global_kv_collections: Sequence[PagedCacheValues],
        return_n_logits: TensorValue,
        input_row_offsets: Sequence[TensorValue],
    ) -> tuple[TensorValue, ...]:
        """Runs the decoder as the built-in one does, and captures on several devices.

        A copy from one device to another waits in both queues, and the queues are
        captured one by one; what devices send each other through the signal buffers
        is a kernel of each.
        """
        found = self.embed_tokens(tokens)
        if self.embedding_output_dtype is not None:
            found = found.cast(self.embedding_output_dtype)
        xs = to_all(found, signal_buffers)
        caches = {
            "sliding_attention": sliding_kv_collections,
            "full_attention": global_kv_collections,
        }
        for layer, kind in zip(self.layers, self._layer_kv_key, strict=True):
            xs = layer(xs, signal_buffers, caches[kind], input_row_offsets)
        return self._postprocess_logits(
            xs, input_row_offsets, return_n_logits, signal_buffers
        )

    def _postprocess_logits(
        self,
        h: Sequence[TensorValue],
        input_row_offsets: Sequence[TensorValue],
        return_n_logits: TensorValue,
        signal_buffers: Sequence[BufferValue],
    ) -> tuple[TensorValue, ...]:
        if not self.only_last:
            return super()._postprocess_logits(
                h, input_row_offsets, return_n_logits, signal_buffers
            )
        normed = forward_sharded_layers(self.norm_shards, h)
        return (self.lm_head(normed, signal_buffers)[0].cast(DType.float32),)


class GptOss(BuiltinGptOss):
    """The built-in module with that decoder."""

    def __init__(self, config: GptOssConfig) -> None:
        Module.__init__(self)
        self.language_model = TextModel(config)


class GptOssModel(LogProbabilitiesMixin, BuiltinModel):
    """The built-in pipeline model on packed experts, with log probabilities."""

    model_config_cls = GptOssConfig
    batch_processor_cls = BatchProcessor

    @property
    def sampler_custom_extensions(self) -> Sequence[Path]:
        return guard.require_package()

    def load_graphs(self, session: InferenceSession) -> dict[str, Model]:
        self._session = session
        self_check.check(session, self.devices)
        return super().load_graphs(session)

    def prepare_initial_token_inputs(self, *args: Any, **kwargs: Any) -> ModelInputs:
        """Remembers them: log-probabilities want them after the step."""
        self.last_inputs = super().prepare_initial_token_inputs(*args, **kwargs)
        return self.last_inputs

    def _create_model_config(self, state_dict: dict[str, Any]) -> GptOssConfig:
        config = GptOssConfig.initialize(
            self.pipeline_config, max_seq_len=self.max_seq_len
        )
        config.finalize(
            huggingface_config=self.huggingface_config,
            state_dict=state_dict,
            return_logits=self.return_logits,
        )
        return config

    def graph_specs(self, model_config: GptOssConfig) -> dict[str, GraphSpec]:
        """Packs the experts, joins projections and returns the decoder graph."""
        weights = self._language_weights_dict
        self._language_weights_dict = {}
        join_projections(weights, len(self.devices))
        pack_experts(weights, self._session, self.devices)
        module = GptOss(model_config)
        module.load_state_dict(
            weights, weight_alignment=1, strict=self._strict_state_dict_loading
        )
        return {
            GraphRole.DECODER: GraphSpec(
                module,
                self.huggingface_config.model_type,
                self._bind_graph_inputs(module.input_tree()),
                weights=module.state_dict(auto_initialize=False),
                custom_extensions=guard.require_package(),
            )
        }

    def _maybe_release_host_weights(self, *models: Any) -> None:
        # What MODULAR_MAX_RELEASE_HOST_WEIGHTS asks for would free the packed
        # experts, which the engine reads on the device where packing left them.
        pass

    def compute_log_probabilities(
        self,
        session: InferenceSession,
        model_inputs: ModelInputs,
        model_outputs: ModelOutputs,
        next_tokens: Buffer,
        batch_top_n: list[int],
        batch_echo: list[bool],
    ) -> list[LogProbabilities | None]:
        # GPT-OSS keeps its row offsets once per device; the mixin wants one.
        inputs = cast(GptOssInputs, model_inputs)
        view = SimpleNamespace(
            tokens=inputs.tokens, input_row_offsets=inputs.input_row_offsets[0]
        )
        return super().compute_log_probabilities(
            session,
            cast(ModelInputs, view),
            model_outputs,
            next_tokens,
            batch_top_n,
            batch_echo,
        )
