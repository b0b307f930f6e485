"""The architecture: weights, memory plan, declaration to MAX."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef
from max.graph.weights import SafetensorWeights, WeightData
from max.pipelines.architectures.gpt_oss.arch import gpt_oss_arch as builtin

from mxfp4 import custom_extensions, ops
from mxfp4.gpt_oss import ARCHITECTURES
from mxfp4.gpt_oss.memory_planner import (
    GptOssMemoryPlanner,
    activation_bytes,
    packing_overhead,
)
from mxfp4.gpt_oss.moe import GptOssMoE
from mxfp4.gpt_oss.packing import pack_experts
from mxfp4.gpt_oss.weight_adapter import convert_safetensor_state_dict

GIB = 2**30


def model_config(**values: int) -> SimpleNamespace:
    """GPT-OSS-20B's dimensions, some of them replaced."""
    sizes = {
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_local_experts": 32,
        "num_hidden_layers": 24,
        "num_experts_per_tok": 4,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 201088,
    }
    return SimpleNamespace(**(sizes | values))


@pytest.fixture(scope="module")
def adapted(checkpoint_folder: Path) -> dict[str, WeightData]:
    weights = SafetensorWeights(sorted(checkpoint_folder.glob("*.safetensors")))
    return convert_safetensor_state_dict(dict(weights.items()))


def test_it_takes_the_place_of_the_built_in() -> None:
    (arch,) = ARCHITECTURES
    assert (arch.name, arch.task) == (builtin.name, builtin.task)
    assert arch.supported_encodings == {arch.default_encoding} == {"float4_e2m1fnx2"}


def test_every_expert_weight_finds_its_place(
    adapted: dict[str, WeightData],
) -> None:
    config = model_config(hidden_size=256, intermediate_size=256, num_local_experts=8)
    layer = GptOssMoE(SimpleNamespace(**vars(config), devices=[DeviceRef.GPU()]))
    prefix = "language_model.layers.1.mlp."
    found = {
        name.removeprefix(prefix): value
        for name, value in adapted.items()
        if name.startswith(prefix)
    }
    weights = layer.raw_state_dict()
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        # Only packing changes a shape, and 256 needs no padding.
        assert list(found[name].shape) == list(weight.shape), name
        assert found[name].dtype == weight.dtype, name


def test_flattening_keeps_the_bytes(
    adapted: dict[str, WeightData], checkpoint_folder: Path
) -> None:
    from safetensors import safe_open

    file = checkpoint_folder / "model-00001-of-00002.safetensors"
    with safe_open(file, "np") as handle:
        want = handle.get_tensor("model.layers.0.mlp.experts.down_proj_blocks")
    got = np.from_dlpack(adapted["language_model.layers.0.mlp.down.blocks"].data)
    assert got.shape == (8, 256, 128)
    np.testing.assert_array_equal(got, want.reshape(got.shape))


def expert(name: str, array: np.ndarray) -> dict[str, SimpleNamespace]:
    data = WeightData(
        Buffer.from_numpy(array), name, DType.from_numpy(array.dtype), array.shape
    )
    return {name: SimpleNamespace(data=lambda: data)}


def test_other_checkpoints_are_refused() -> None:
    weights = expert(
        "model.layers.0.mlp.experts.down_proj", np.zeros((2, 64, 64), np.float32)
    )
    with pytest.raises(ValueError, match="no MXFP4 experts"):
        convert_safetensor_state_dict(weights)


def test_misshapen_experts_are_refused() -> None:
    name = "model.layers.0.mlp.experts.down_proj_blocks"
    with pytest.raises(
        ValueError, match=rf"{name} must be uint8 with 4 dim.*got uint8 \[2, 64, 32\]"
    ):
        convert_safetensor_state_dict(expert(name, np.zeros((2, 64, 32), np.uint8)))


def set_bits(array: np.ndarray) -> list[int]:
    """Returns how many bits are set, for each expert."""
    return [int(np.unpackbits(expert).sum()) for expert in array]


def test_packing_through_max(
    kernel_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shapes, one of them padded; on the CPU, whose pack ops are the same."""
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    rng = np.random.default_rng(0)
    plain, state = {}, {"other": Buffer.from_numpy(np.zeros(1, np.float32))}
    for name, rows, cols in (("a.gate_up", 128, 64), ("a.down", 96, 160)):
        plain[f"{name}.blocks"] = rng.integers(0, 256, (3, rows, cols // 2), np.uint8)
        plain[f"{name}.scales"] = rng.integers(1, 255, (3, rows, cols // 32), np.uint8)
    for name, array in plain.items():
        state[name] = WeightData.from_numpy(array, name)
    pack_experts(state, InferenceSession(devices=[CPU()]), CPU())

    assert state.keys() == {"other", *plain}
    packed = {name: state[name].to_numpy() for name in plain}
    for name, (rows, cols) in {"a.gate_up": (128, 64), "a.down": (96, 160)}.items():
        blocks, scales = ops.packed_shapes(3, rows, cols)
        assert packed[f"{name}.blocks"].shape == blocks
        assert packed[f"{name}.scales"].shape == scales
        # Packing moves bits about, and pads with zeros.
        for what in ("blocks", "scales"):
            got, want = packed[f"{name}.{what}"], plain[f"{name}.{what}"]
            assert set_bits(got) == set_bits(want)
        blocks = plain[f"{name}.blocks"]
        same = packed[f"{name}.blocks"][:, : blocks.shape[1], : blocks.shape[2]]
        assert not np.array_equal(same, blocks)
    for got, want in zip(
        packed["a.gate_up.scales"], plain["a.gate_up.scales"], strict=True
    ):
        assert sorted(got.flat) == sorted(want.flat)


def test_blocks_and_scales_that_do_not_match_are_refused() -> None:
    state = {
        "a.down.blocks": np.zeros((2, 64, 32), np.uint8),
        "a.down.scales": np.zeros((2, 64, 4), np.uint8),
    }
    with pytest.raises(
        ValueError, match=r"\[2, 64, 32\] and a\.down\.scales \[2, 64, 4\] do not"
    ):
        pack_experts(state, None, CPU())


@pytest.mark.parametrize("experts", [32, 128])
def test_published_models_pack_without_padding(experts: int) -> None:
    assert packing_overhead(model_config(num_local_experts=experts)) == 0


def test_padding_is_counted() -> None:
    config = model_config(
        hidden_size=96, intermediate_size=160, num_local_experts=2, num_hidden_layers=3
    )
    # gate_up 320x96 becomes 320x128; down 96x160 becomes 128x192; 17/32 byte each.
    elements = 320 * (128 - 96) + (128 * 192 - 96 * 160)
    assert packing_overhead(config) == 2 * 3 * elements * 17 // 32


def plan(config: SimpleNamespace, **runtime: object) -> int:
    values = {"max_batch_input_tokens": 8192, "max_batch_size": None} | runtime
    echo = values.pop("enable_echo", False)
    planner = GptOssMemoryPlanner.__new__(GptOssMemoryPlanner)
    return planner.estimate_activation_memory(
        SimpleNamespace(
            runtime=SimpleNamespace(**values), model=SimpleNamespace(enable_echo=echo)
        ),
        config,
    )


def test_nothing_is_reserved_for_dequantizing() -> None:
    small, large = plan(model_config()), plan(model_config(num_local_experts=128))
    # The built-in plans 22.6 GiB for the one and 27 GiB for the other.
    assert small == large
    assert 3 * GIB < small < 6 * GIB


def test_the_plan_follows_the_step() -> None:
    config = model_config()
    assert plan(config, max_batch_input_tokens=16384) > plan(config)
    assert plan(config, max_batch_size=8) < plan(config)
    # Echo returns logits for every token of the step.
    assert plan(config, enable_echo=True) > plan(config) + 10 * GIB


def test_activations_of_one_token() -> None:
    routed = 4 * 3 * 2880
    attention = 4 * 2880 + 2 * (64 + 16) * 64
    logits = 201088 * 14
    assert (
        activation_bytes(model_config(), tokens=1, logits=1)
        == 2 * (routed + attention) + logits
    )
