"""A model divided among several GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, ShardingStrategy, TensorValue, Weight

from mxfp4 import checkpoint
from mxfp4.gpt_oss import packing
from mxfp4.gpt_oss.dense import Linear
from mxfp4.gpt_oss.memory_planner import (
    activation_bytes,
    packed_bytes,
    stored_bytes,
    weight_bytes,
)
from mxfp4.gpt_oss.packing import pack_experts, parts
from mxfp4.gpt_oss.shares import check_division, shares, slices, spread
from mxfp4.kernels import custom_extensions, ops
from reference import dequantize, swiglu
from test_gpt_oss import GIB, model_config, set_bits

pytestmark = pytest.mark.job(first=True)

EXPERTS, HIDDEN, INTER = 4, 64, 160


@pytest.mark.parametrize(
    ("features", "sizes"),
    [
        (2880, [2880]),
        (2880, [1440, 1440]),
        (2880, [736, 736, 704, 704]),
        (2880, [384, 384, 352, 352, 352, 352, 352, 352]),
        (INTER, [96, 64]),
        (256, [32] * 8),
    ],
)
def test_shares_are_whole_groups(features: int, sizes: list[int]) -> None:
    found = shares(features, len(sizes))
    assert [len(share) for share in found] == sizes
    assert [i for share in found for i in share] == list(range(features))
    assert all(len(share) % ops.GROUP == 0 for share in found)


@pytest.mark.parametrize(("features", "devices"), [(2890, 2), (32, 2)])
def test_what_has_no_whole_groups_is_refused(features: int, devices: int) -> None:
    with pytest.raises(ValueError, match=f"{features} features.*whole groups of 32"):
        shares(features, devices)


def test_a_number_of_gpus_that_does_not_divide_the_heads_is_refused() -> None:
    for devices in (1, 2, 4, 8):
        check_division(model_config(), devices)
    with pytest.raises(ValueError, match=r"8 key-value.* 3 GPUs.* one of 1, 2, 4, 8$"):
        check_division(model_config(), 3)


@pytest.fixture
def experts() -> dict[str, np.ndarray]:
    """Blocks and scales of one layer as the checkpoint has them."""
    rng = np.random.default_rng(0)
    state = {}
    for name, (rows, cols) in {
        "gate_up": (2 * INTER, HIDDEN),
        "down": (HIDDEN, INTER),
    }.items():
        shape = (EXPERTS, rows, cols // 2)
        state[f"{name}.blocks"] = rng.integers(0, 256, shape, np.uint8)
        shape = (EXPERTS, rows, cols // ops.GROUP)
        state[f"{name}.scales"] = rng.integers(119, 122, shape, np.uint8)
    return state


def cuts(
    experts: dict[str, np.ndarray], name: str, devices: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns each device's blocks and scales of a projection."""
    blocks, scales = (
        Buffer.from_numpy(experts[f"{name}.{what}"]) for what in ("blocks", "scales")
    )
    shape = (EXPERTS, blocks.shape[1], 2 * blocks.shape[2])
    return [
        (part.cut(blocks, 2).to_numpy(), part.cut(scales, ops.GROUP).to_numpy())
        for part in parts(f"layer.{name}", shape, devices)
    ]


@pytest.mark.parametrize("devices", [1, 2, 4, 5])
def test_the_summands_add_up(experts: dict[str, np.ndarray], devices: int) -> None:
    """Every expert, on cut weights and biases, is the sum of its devices' parts."""
    rng = np.random.default_rng(1)
    hidden = rng.standard_normal((3, HIDDEN))
    gate_up_bias = rng.standard_normal((EXPERTS, 2 * INTER))
    down_bias = rng.standard_normal((EXPERTS, HIDDEN))

    def run(count: int) -> np.ndarray:
        """Returns `[device, expert, token, hidden]`."""
        summands = []
        for rank, share in enumerate(shares(INTER, count)):
            first = dequantize(*cuts(experts, "gate_up", count)[rank])
            second = dequantize(*cuts(experts, "down", count)[rank])
            rows = slice(2 * share.start, 2 * share.stop)
            summands.append([])
            for expert in range(EXPERTS):
                made = hidden @ first[expert].T + gate_up_bias[expert, rows]
                active, _ = swiglu(made, np.zeros_like(made))
                # The bias is the first device's alone.
                bias = down_bias[expert] if rank == 0 else 0
                summands[-1].append(active @ second[expert].T + bias)
        return np.array(summands)

    summands = run(devices)
    assert len(summands) == devices
    np.testing.assert_allclose(summands.sum(0), run(1)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("devices", [2, 5])
def test_the_cuts_hold_everything_once(
    experts: dict[str, np.ndarray], devices: int
) -> None:
    for name, axis in (("gate_up", 1), ("down", 2)):
        blocks, scales = zip(*cuts(experts, name, devices), strict=True)
        for what, pieces in (("blocks", blocks), ("scales", scales)):
            whole = np.concatenate(pieces, axis)
            np.testing.assert_array_equal(whole, experts[f"{name}.{what}"])


def test_one_device_s_weights_are_not_copied() -> None:
    values = Buffer.from_numpy(np.zeros((2, 64, 32), np.uint8))
    (part,) = parts("layer.down", (2, 64, 64), 1)
    assert part.cut(values, 2) is values


def test_packing_for_several_devices(
    experts: dict[str, np.ndarray],
    kernel_package: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the CPU thrice, whose pack ops are the same."""
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    devices = [CPU()] * 3
    state = {f"layer.{name}": value for name, value in experts.items()}
    pack_experts(state, InferenceSession(devices=[CPU()]), devices)
    assert state.keys() == {
        f"layer.{name}.weights.{rank}"
        for name in ("gate_up", "down")
        for rank in range(len(devices))
    }
    for name in ("gate_up", "down"):
        for rank, (blocks, scales) in enumerate(cuts(experts, name, len(devices))):
            packed = state[f"layer.{name}.weights.{rank}"].to_numpy()
            rows, cols = blocks.shape[1], 2 * blocks.shape[2]
            assert packed.shape == ops.packed_shape(EXPERTS, rows, cols)
            # Packing moves bits about, and pads with zeros.
            assert set_bits(packed.reshape(EXPERTS, -1)) == set_bits(
                np.concatenate(
                    (blocks.reshape(EXPERTS, -1), scales.reshape(EXPERTS, -1)), axis=1
                )
            )


def held(weight: Weight, values: np.ndarray) -> np.ndarray:
    """Returns what a device has of a weight with such values."""
    # A strategy slices whatever it is given.
    return weight.sharding_strategy(values, weight.shard_idx)


def test_dense_layers_are_divided() -> None:
    devices = [DeviceRef.GPU(0), DeviceRef.GPU(1)]
    weight, bias = np.arange(24).reshape(4, 6), np.arange(4)
    layer = Linear.sized(6, 4, devices[0])
    layer.sharding_strategy = ShardingStrategy.rowwise(2)
    first, second = layer.shard(devices)
    np.testing.assert_array_equal(held(first.weight, weight), weight[:2])
    np.testing.assert_array_equal(held(second.weight, weight), weight[2:])
    np.testing.assert_array_equal(held(first.bias, bias), bias[:2])
    np.testing.assert_array_equal(held(second.bias, bias), bias[2:])
    assert [shard.weight.device for shard in (first, second)] == devices

    # Two of three heads for the first device, and the bias for it alone.
    layer = Linear.sized(6, 4, devices[0])
    layer.sharding_strategy = ShardingStrategy.head_aware_columnwise(2, 3, 2)
    first, second = layer.shard(devices)
    np.testing.assert_array_equal(held(first.weight, weight), weight[:, :4])
    np.testing.assert_array_equal(held(second.weight, weight), weight[:, 4:])
    np.testing.assert_array_equal(held(first.bias, bias), bias)
    with Graph("zeros", input_types=[]) as graph:
        graph.output(TensorValue(second.bias))
    text = str(graph)
    assert "dense_array<0.000000e+00> : tensor<bf16>" in text
    assert "mo.constant.external" not in text

    gate_up = Weight("bias", DType.bfloat16, (2, 6), devices[0])
    cuts = spread(gate_up, slices(1, [range(4), range(4, 6)]), devices)
    biases = np.arange(12).reshape(2, 6)
    np.testing.assert_array_equal(held(cuts[0], biases), biases[:, :4])
    np.testing.assert_array_equal(held(cuts[1], biases), biases[:, 4:])


def test_one_device_holds_a_weight_as_it_is() -> None:
    weight = Weight("weight", DType.bfloat16, (4, 6), DeviceRef.GPU())
    assert spread(weight, ShardingStrategy.rowwise(1), [DeviceRef.GPU()]) == [weight]
    assert weight.device == DeviceRef.GPU()


def test_virtual_devices_get_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "is_virtual_device_mode", lambda: True)
    monkeypatch.setattr(packing, "_load_packer", lambda *args: None)
    state = {
        "a.down.blocks": np.ones((2, 96, 80), np.uint8),
        "a.down.scales": np.ones((2, 96, 5), np.uint8),
    }
    pack_experts(state, None, [CPU()] * 2)
    assert {name: value.shape for name, value in state.items()} == {
        "a.down.weights.0": ops.packed_shape(2, 96, 96),
        "a.down.weights.1": ops.packed_shape(2, 96, 64),
    }


def test_weights_are_planned_by_the_fullest_gpu() -> None:
    config = model_config()
    embedding = config.vocab_size * config.hidden_size * 2
    checkpoint = stored_bytes(config) + 2 * embedding + 24 * 100_000_000
    # 736 input features of the down projection are padded to 768.
    assert (
        packed_bytes(config, 736) == stored_bytes(config) // 2880 * (2 * 736 + 768) // 3
    )
    for devices, inter in ((1, 2880), (2, 1440), (4, 736), (8, 384)):
        assert weight_bytes(config, checkpoint, devices) == (
            embedding
            + packed_bytes(config, inter)
            + (embedding + 24 * 100_000_000) // devices
        )


def test_activations_of_one_token_on_two_gpus() -> None:
    routed = 4 * (2880 + 1440)
    attention = 5 * 2880 + 2 * (32 + 8) * 64
    own, gathered = 201088 // 2, 201088 * (2 + 2)
    # A share of the logits takes part of a row more where it has half a row.
    found = activation_bytes(model_config(), tokens=1, logits=1, devices=2)
    head = found - 2 * (routed + attention)
    assert 0 <= head - 4 * (own + gathered) <= 4 * 201088


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_each_of_several_gpus_holds_less(devices: int) -> None:
    config = model_config(num_local_experts=128, num_hidden_layers=36)
    checkpoint = 65 * GIB
    alone = weight_bytes(config, checkpoint, 1)
    share = weight_bytes(config, checkpoint, devices)
    assert alone / devices < share < alone / devices * 1.1 + 2 * GIB


def test_the_graph_for_several_gpus(
    kernel_package: Path,
    tmp_path: Path,
) -> None:
    """Built, not compiled; MAX checks every shape."""
    size = checkpoint.Size(256, 320, 8, 2, 16, 8, 1024, special=1000)
    checkpoint.write(tmp_path, size)
    program = Path(__file__).with_name("trace_model.py")
    run = subprocess.run(
        [sys.executable, program, tmp_path, "1", "2", "4", "8"],
        # Not what MAX's native part has put into this process's environment.
        env=os.environ | {custom_extensions.VARIABLE: str(kernel_package)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["devices"] for line in lines] == [1, 2, 4, 8]
    for line in lines:
        devices = line["devices"]
        # After attention and after the experts of each layer.
        assert line["allreduces"] == 2 * 2
        # Two devices choose alike; of more, one for all. The last layer's experts see
        # the last token of each sequence.
        routers = 2 if devices == 2 else 1
        last = "add(input_row_offsets_len, -1)"
        assert line["routed"] == ["total_seq_len"] * routers + [last] * routers
        assert line["allgathers"] == (1 if devices > 1 else 0)
        for what in ("mx4.matmul_swiglu_gather", "mx4.matmul_bias", "sort", "combine"):
            assert line["ops"][f"custom.moe.{what}"] == 2 * devices, what
        # The embedded tokens, and what was chosen and its shares in each layer.
        assert line["broadcasts"] == {1: 0, 2: 1}.get(devices, 1 + 2 * 2)
        # They would wait in the queues of two devices, which no graph captures.
        assert line["transfers"] == []
        assert line["concats"] == 0
        assert line["ops"]["custom.dense.matmul"] == 2 * 2 * devices
        assert line["ops"]["custom.dense.matmul_float32"] == devices
        assert line["ops"]["custom.logits.health"] == 1
        for rank, share in enumerate(shares(320, devices)):
            down = line["weights"][f"language_model.layers.1.mlp.down.weights.{rank}"]
            assert down == list(ops.packed_shape(8, 256, len(share)))
