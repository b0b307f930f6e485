"""Maps the published checkpoint's tensors to the model's weights."""

from __future__ import annotations

import re

from max.driver import Buffer
from max.dtype import DType
from max.graph.type import Shape
from max.graph.weights import WeightData, Weights
from max.pipelines.architectures.gpt_oss import weight_adapters as builtin

_EXPERT = re.compile(
    r"model\.(layers\.\d+\.mlp)\.experts\.(gate_up|down)_proj_(blocks|scales|bias)"
)


def convert_safetensor_state_dict(
    state_dict: dict[str, Weights], **kwargs: object
) -> dict[str, WeightData]:
    """Renames all weights, and flattens the expert blocks to three dimensions.

    Blocks come as `[E, N, K / 32, 16]`, sixteen bytes to a scale, and leave as
    `[E, N, K / 2]`. Nothing is copied.
    """
    experts: dict[str, WeightData] = {}
    others: dict[str, Weights] = {}
    for name, value in state_dict.items():
        if match := _EXPERT.fullmatch(name):
            mlp, projection, what = match.groups()
            new = f"language_model.{mlp}.{projection}.{what}"
            experts[new] = _expert(new, what, value.data())
        else:
            others[name] = value
    if not any(name.endswith(".blocks") for name in experts):
        raise ValueError(
            "the checkpoint holds no MXFP4 experts (tensors named *_blocks and "
            "*_scales); this architecture serves no other encoding"
        )
    return builtin.convert_safetensor_state_dict(others, **kwargs) | experts


def _expert(name: str, what: str, data: WeightData) -> WeightData:
    shape = [int(dim) for dim in data.shape]
    rank = {"blocks": 4, "scales": 3, "bias": 2}[what]
    dtype = DType.bfloat16 if what == "bias" else DType.uint8
    if len(shape) != rank or data.dtype != dtype:
        raise ValueError(
            f"{data.name} must be {dtype.name} with {rank} dimensions, "
            f"got {data.dtype.name} {shape}"
        )
    if what == "blocks":
        shape = [shape[0], shape[1], shape[2] * shape[3]]
    buffer = Buffer.from_dlpack(data.data).view(dtype, shape)
    return WeightData(buffer, name, dtype, Shape(shape))
