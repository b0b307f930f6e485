"""Declares the architecture to MAX."""

from __future__ import annotations

import dataclasses

from max.graph.weights import WeightsFormat
from max.pipelines.architectures.gpt_oss.arch import gpt_oss_arch as builtin
from max.pipelines.sampling import ToolCallPolicy

from mxfp4.gpt_oss.config import GptOssConfig
from mxfp4.gpt_oss.memory_planner import GptOssMemoryPlanner
from mxfp4.gpt_oss.model import GptOssModel
from mxfp4.gpt_oss.weight_adapter import convert_safetensor_state_dict

gpt_oss_arch = dataclasses.replace(
    builtin,
    default_encoding=GptOssConfig.DEFAULT_ENCODING,
    supported_encodings=GptOssConfig.SUPPORTED_ENCODINGS,
    pipeline_model=GptOssModel,
    weight_adapters={WeightsFormat.safetensors: convert_safetensor_state_dict},
    config=GptOssConfig,
    memory_planner=GptOssMemoryPlanner,
    # No parser is named: the front end reads what the model writes. Should a command
    # line name one, this keeps MAX from compiling samplers for grammars.
    required_arguments=builtin.required_arguments
    | {"tool_call_policy": ToolCallPolicy.FORCE_UNCONSTRAINED},
    multi_gpu_supported=True,
)
