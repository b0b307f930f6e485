"""The architecture: weights, memory plan, declaration to MAX."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef
from max.graph.type import Shape
from max.graph.weights import SafetensorWeights, WeightData
from max.nn.comm import Signals
from max.pipelines.architectures.gpt_oss.arch import gpt_oss_arch as builtin

from mxfp4 import checkpoint
from mxfp4.gpt_oss import ARCHITECTURES, packing
from mxfp4.gpt_oss.inputs import GptOssInputs
from mxfp4.gpt_oss.memory_planner import (
    GptOssMemoryPlanner,
    activation_bytes,
    packed_bytes,
    stored_bytes,
    weight_bytes,
)
from mxfp4.gpt_oss.moe import GptOssMoE
from mxfp4.gpt_oss.packing import pack_experts
from mxfp4.gpt_oss.projections import join_projections
from mxfp4.gpt_oss.weight_adapter import convert_safetensor_state_dict
from mxfp4.kernels import custom_extensions, ops

pytestmark = pytest.mark.job(first=True)

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
    kernel_package: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    config = model_config(hidden_size=256, intermediate_size=256, num_local_experts=8)
    layer = GptOssMoE(SimpleNamespace(**vars(config), devices=[DeviceRef.GPU()]))
    prefix = "language_model.layers.1.mlp."
    found = {
        name.removeprefix(prefix): value
        for name, value in adapted.items()
        if name.startswith(prefix)
    }
    pack_experts(found, InferenceSession(devices=[CPU()]), [CPU()])
    weights = layer.raw_state_dict()
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
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


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_projections_are_joined_in_the_order_of_devices(devices: int) -> None:
    rows = {"q_proj": 64, "k_proj": 8, "v_proj": 8}
    rng = np.random.default_rng(0)
    plain: dict[str, np.ndarray] = {}
    state: dict[str, object] = {"other": 1}
    for part, count in rows.items():
        for what, shape in (("weight", (count, 3)), ("bias", (count,))):
            bits = rng.integers(0, 1 << 16, shape, np.uint16)
            plain[f"{part}.{what}"] = bits
            name = f"a.self_attn.{part}.{what}"
            buffer = Buffer.from_numpy(bits).view(DType.bfloat16, shape)
            state[name] = WeightData(buffer, name, DType.bfloat16, Shape(shape))
    join_projections(state, devices)
    assert state.keys() == {
        "other",
        "a.self_attn.qkv_proj.weight",
        "a.self_attn.qkv_proj.bias",
    }
    for what in ("weight", "bias"):
        joined = state[f"a.self_attn.qkv_proj.{what}"]
        assert isinstance(joined, WeightData)
        bits = joined.data.view(DType.uint16, list(joined.shape)).to_numpy()
        for rank, share in enumerate(np.split(bits, devices)):
            want = [np.split(plain[f"{part}.{what}"], devices)[rank] for part in rows]
            np.testing.assert_array_equal(share, np.concatenate(want))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("a.v_proj.bias"), "holds no a.v_proj.bias"),
        (
            lambda state: state.update({"a.k_proj.bias": of_floats(np.zeros(4))}),
            r"a.k_proj.bias must be bfloat16 .*got float64 \[4\]",
        ),
        (
            lambda state: state.update({"a.k_proj.bias": of_bits(np.zeros(3))}),
            r"a.k_proj.bias must be .*rows for 2 device\(s\), got bfloat16 \[3\]",
        ),
    ],
)
def test_projections_that_do_not_fit_are_refused(change: Any, says: str) -> None:
    names = [f"a.{part}.bias" for part in ("q_proj", "k_proj", "v_proj")]
    state: dict[str, Any] = {name: of_bits(np.zeros(4)) for name in names}
    change(state)
    with pytest.raises(ValueError, match=says):
        join_projections(state, 2)


def of_bits(values: np.ndarray) -> WeightData:
    buffer = Buffer.from_numpy(values.astype(np.uint16))
    shape = values.shape
    return WeightData(
        buffer.view(DType.bfloat16, shape), "x", DType.bfloat16, Shape(shape)
    )


def of_floats(values: np.ndarray) -> WeightData:
    return WeightData.from_numpy(values, "x")


def in_tiles(array: np.ndarray, per_byte: int) -> np.ndarray:
    """Returns `[E, N, ...]` cut into tiles of 64 rows by 64 columns, zeros added.

    Args:
        array: Blocks or scales in the checkpoint's order.
        per_byte: Columns to a byte: 2 of blocks, 32 of scales.
    """
    width = 64 // per_byte
    experts, rows, cols = array.shape
    padded = np.pad(array, ((0, 0), (0, -rows % 64), (0, -cols % width)))
    split = padded.reshape(experts, padded.shape[1] // 64, 64, -1, width)
    return split.swapaxes(2, 3).reshape(*split.shape[:2], -1, 64 * width)


def set_bits(array: np.ndarray) -> list[int]:
    """Returns how many bits are set along the last axis."""
    return np.unpackbits(array, axis=-1).sum(-1).tolist()


def test_packing_through_max(
    kernel_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shapes, one of them padded; on the CPU, whose pack ops are the same."""
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    rng = np.random.default_rng(0)
    shapes = {"a.gate_up": (128, 64), "a.down": (96, 160)}
    plain, state = {}, {"other": Buffer.from_numpy(np.zeros(1, np.float32))}
    for name, (rows, cols) in shapes.items():
        plain[name] = (
            rng.integers(0, 256, (3, rows, cols // 2), np.uint8),
            rng.integers(1, 255, (3, rows, cols // 32), np.uint8),
        )
        for what, array in zip(("blocks", "scales"), plain[name], strict=True):
            state[f"{name}.{what}"] = WeightData.from_numpy(array, f"{name}.{what}")
    pack_experts(state, InferenceSession(devices=[CPU()]), [CPU()])

    assert state.keys() == {"other", "a.gate_up.weights.0", "a.down.weights.0"}
    for name, (rows, cols) in shapes.items():
        packed = state[f"{name}.weights.0"].to_numpy()
        assert packed.shape == ops.packed_shape(3, rows, cols)
        blocks, scales = plain[name]
        # Packing moves bits about, and pads with zeros.
        assert set_bits(packed.reshape(3, -1)) == set_bits(
            np.concatenate((blocks.reshape(3, -1), scales.reshape(3, -1)), axis=1)
        )
        codes = in_tiles(blocks, 2)
        tiles = packed.reshape(*codes.shape[:3], 2048 + 128)
        # A tile's codes come first and stay in it, but not where they were.
        assert set_bits(tiles[..., :2048]) == set_bits(codes)
        assert not np.any(np.all(tiles[..., :2048] == codes, axis=-1))
        # Its scales follow, row by row.
        np.testing.assert_array_equal(tiles[..., 2048:], in_tiles(scales, 32))


def test_packing_for_a_device_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing can run there; what takes the weights' place has their shape."""
    compiled = []
    monkeypatch.setattr(packing, "is_virtual_device_mode", lambda: True)
    monkeypatch.setattr(packing, "_load_packer", lambda *args: compiled.append(args))
    state = {
        "a.down.blocks": np.ones((2, 96, 80), np.uint8),
        "a.down.scales": np.ones((2, 96, 5), np.uint8),
        "a.down.bias": np.ones((2, 96), np.float32),
    }
    pack_experts(state, None, [CPU()])
    assert compiled
    assert state.keys() == {"a.down.weights.0", "a.down.bias"}
    assert state["a.down.weights.0"].shape == ops.packed_shape(2, 96, 160)
    assert state["a.down.weights.0"].dtype == np.uint8


def test_blocks_and_scales_that_do_not_match_are_refused() -> None:
    state = {
        "a.down.blocks": np.zeros((2, 64, 32), np.uint8),
        "a.down.scales": np.zeros((2, 64, 4), np.uint8),
    }
    with pytest.raises(
        ValueError, match=r"\[2, 64, 32\] and a\.down\.scales \[2, 64, 4\] do not"
    ):
        pack_experts(state, None, [CPU()])


@pytest.mark.parametrize("experts", [32, 128])
def test_published_models_pack_without_padding(experts: int) -> None:
    config = model_config(num_local_experts=experts)
    assert packed_bytes(config, config.intermediate_size) == stored_bytes(config)


def test_padding_is_counted() -> None:
    config = model_config(
        hidden_size=96, intermediate_size=160, num_local_experts=2, num_hidden_layers=3
    )
    # gate_up 320x96 becomes 320x128; down 96x160 becomes 128x192; 17/32 byte each.
    elements = 320 * (128 - 96) + (128 * 192 - 96 * 160)
    padding = 2 * 3 * elements * 17 // 32
    assert packed_bytes(config, 160) == stored_bytes(config) + padding
    assert weight_bytes(config, 10 * GIB, devices=1) == 10 * GIB + padding


def plan(config: SimpleNamespace, **runtime: object) -> int:
    values = {
        "max_batch_input_tokens": 8192,
        "max_batch_size": None,
        "enable_chunked_prefill": True,
    } | runtime
    model = SimpleNamespace(
        enable_echo=values.pop("enable_echo", False),
        device_specs=[None],
        max_length=32768,
    )
    planner = GptOssMemoryPlanner.__new__(GptOssMemoryPlanner)
    return planner.estimate_activation_memory(
        SimpleNamespace(runtime=SimpleNamespace(**values), model=model), config
    )


def test_120b_fits_on_one_80_gb_gpu() -> None:
    """With the cache for one prompt of full length left, as MAX plans by default."""
    config = model_config(num_local_experts=128, num_hidden_layers=36)
    tensors = itertools.chain(*checkpoint.shards(checkpoint.SIZES["120b"]))
    weights = weight_bytes(config, sum(map(tensor_bytes, tensors)), devices=1)
    assert 65.2e9 < weights < 65.3e9
    # An H100 80GB HBM3 has 79.6 GiB, the driver keeps some of it.
    left = 0.9 * 79 * GIB - weights - plan(config) - Signals.NUM_BYTES
    head = 2 * config.head_dim * 2
    token = config.num_hidden_layers // 2 * config.num_key_value_heads * head
    assert left > 131072 * token


def tensor_bytes(tensor: checkpoint.Tensor) -> int:
    return math.prod(tensor.shape) * (1 if tensor.dtype == "uint8" else 2)


def test_nothing_is_reserved_for_dequantizing() -> None:
    small, large = plan(model_config()), plan(model_config(num_local_experts=128))
    # The built-in plans 22.6 GiB for the one and 27 GiB for the other.
    assert small == large
    assert 3 * GIB < small < 6 * GIB


def test_the_plan_follows_the_step() -> None:
    config = model_config()
    assert plan(config, max_batch_input_tokens=16384) > plan(config)
    assert plan(config, max_batch_size=8) < plan(config)
    # Prompts that are not cut go through whole.
    whole = plan(config, enable_chunked_prefill=False)
    assert whole == plan(config, max_batch_input_tokens=32768)
    # Echo returns logits for every token of the step.
    assert plan(config, enable_echo=True) > plan(config) + 10 * GIB


def test_activations_of_one_token() -> None:
    routed = 4 * 2 * 2880
    attention = 4 * 2880 + 2 * (64 + 16) * 64
    logits = 201088 * 3 * 4
    assert (
        activation_bytes(model_config(), tokens=1, logits=1)
        == 2 * (routed + attention) + logits
    )


def test_a_captured_graph_reads_the_inputs_in_the_model_s_order() -> None:
    tokens, logits, *rest = (Buffer(DType.int64, [1]) for _ in range(6))
    offsets, signals, cache = rest[:1], rest[1:2], rest[2:]
    inputs = GptOssInputs(
        tokens=tokens,
        return_n_logits=logits,
        input_row_offsets=offsets,
        signal_buffers=signals,
        kv_cache_inputs=cache,
    )
    order = (tokens, logits, *offsets, *signals, *cache)
    assert [id(buffer) for buffer in inputs.buffers] == [id(buffer) for buffer in order]


def test_host_code_is_compiled_for_any_such_cpu() -> None:
    # A cache of compiled models would be of use on machines of one CPU alone.
    program = (
        "from mxfp4 import gpt_oss, served\n"
        "from max.driver import get_virtual_cpu_target\n"
        "assert gpt_oss.ARCHITECTURES is served.ARCHITECTURES\n"
        "print(get_virtual_cpu_target() == served.HOST)\n"
    )
    run = [sys.executable, "-c", program]
    said = subprocess.run(run, env=dict(os.environ), capture_output=True, text=True)
    assert said.stdout == "True\n", said.stderr
