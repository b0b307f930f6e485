"""Configuration: the built-in GPT-OSS's, for MXFP4 on Hopper alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from max.pipelines.architectures.gpt_oss.model_config import (
    GptOssConfig as BuiltinConfig,
)
from max.pipelines.lib import MAXModelConfig, PipelineConfig
from max.pipelines.modeling.config_enums import SupportedEncoding
from typing_extensions import Self, override

from mxfp4.gpt_oss.shares import check_division
from mxfp4.kernels import guard
from mxfp4.kernels.ops import SWIGLU_LIMIT


@dataclass(kw_only=True)
class GptOssConfig(BuiltinConfig):
    """GPT-OSS's configuration, refused where the kernel cannot run."""

    DEFAULT_ENCODING: ClassVar[SupportedEncoding] = "float4_e2m1fnx2"
    SUPPORTED_ENCODINGS: ClassVar[set[SupportedEncoding]] = {"float4_e2m1fnx2"}

    @override
    @classmethod
    def initialize(
        cls,
        pipeline_config: PipelineConfig,
        model_config: MAXModelConfig | None = None,
        *,
        max_seq_len: int,
    ) -> Self:
        # Memory planning initializes the configuration before the model worker
        # starts, so this is the earliest place to refuse.
        guard.require_package()
        model = model_config or pipeline_config.model
        guard.require_hopper_devices(model.device_specs)
        check_division(model.huggingface_config, len(model.device_specs))
        config = super().initialize(
            pipeline_config, model_config, max_seq_len=max_seq_len
        )
        if config.swiglu_limit != SWIGLU_LIMIT:
            raise RuntimeError(
                f"the kernel's SwiGLU clamps at {SWIGLU_LIMIT}, and this model's "
                f"config.json sets swiglu_limit to {config.swiglu_limit}"
            )
        return config
