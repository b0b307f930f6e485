"""The kernel package under MAX: compiled without a GPU, run on a Hopper GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mxfp4.kernels import custom_extensions, guard, ops
from reference import dequantize, from_bfloat16, grouped_matmul, swiglu, to_bfloat16

# Compiles for most of a minute in each test, and nothing twice.
pytestmark = pytest.mark.job(first=True, apart=True)


def test_op_graph_compiles_for_sm_90a(kernel_package: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("compile_ops.py"))],
        env=os.environ | {custom_extensions.VARIABLE: str(kernel_package)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "compiled 3 matmuls for sm_90a" in run.stdout


def routing(kind: str, experts: int, rng: np.random.Generator) -> np.ndarray:
    """Returns how many rows each expert gets."""
    if kind == "none":
        return np.zeros(experts, np.int64)
    if kind == "one":
        return np.eye(experts, dtype=np.int64)[experts // 2]
    counts = rng.multinomial(700, rng.dirichlet(np.full(experts, 0.3)))
    counts[:: experts // 4] = 0
    return counts


@pytest.mark.parametrize(
    ("experts", "out_features", "in_features"),
    [(8, 512, 256), (4, 96, 160), (32, 5760, 2880), (32, 2880, 2880)],
)
def test_mxfp4_grouped_matmul_matches_dense(
    hopper: None,
    kernel_package: Path,
    monkeypatch: pytest.MonkeyPatch,
    experts: int,
    out_features: int,
    in_features: int,
) -> None:
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    from max.driver import Accelerator, Buffer
    from max.dtype import DType
    from max.engine import InferenceSession
    from max.graph import DeviceRef, Graph, TensorType

    rng = np.random.default_rng(7)
    gpu, device = DeviceRef.GPU(), Accelerator()
    blocks = rng.integers(0, 256, (experts, out_features, in_features // 2), np.uint8)
    scales = rng.integers(
        0x60, 0xA0, (experts, out_features, in_features // 32), np.uint8
    )
    bias = to_bfloat16(rng.standard_normal((experts, out_features)))
    weights = dequantize(blocks, scales)

    with Graph(
        "matmuls",
        input_types=[
            TensorType(DType.bfloat16, ("rows", in_features), gpu),
            TensorType(DType.uint8, blocks.shape, gpu),
            TensorType(DType.uint8, scales.shape, gpu),
            TensorType(DType.uint32, (experts + 1,), gpu),
            TensorType(DType.int32, (experts,), gpu),
            TensorType(DType.bfloat16, bias.shape, gpu),
            TensorType(DType.uint32, (ops.COUNTERS,), gpu),
        ],
        custom_extensions=guard.require_package(),
    ) as graph:
        x, b, s, starts_value, ids_value, bias_value, counters = (
            value.tensor for value in graph.inputs
        )
        packed = ops.pack(b, s)
        fused = {"bias": bias_value, "counters": counters}
        graph.output(
            *(
                ops.grouped_mxfp4_matmul(
                    x,
                    packed,
                    starts_value,
                    ids_value,
                    out_features=out_features,
                    **variant,
                )
                for variant in ({}, fused, fused | {"swiglu": True})
            )
        )
    model = InferenceSession(devices=[device]).load(graph)

    for kind in ("none", "one", "uneven"):
        counts = routing(kind, experts, rng)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.uint32)
        ids = rng.permutation(experts).astype(np.int32)
        hidden = to_bfloat16(rng.standard_normal((counts.sum(), in_features)))
        outputs = model.execute(
            _bfloat16_buffer(hidden).to(device),
            Buffer.from_numpy(blocks).to(device),
            Buffer.from_numpy(scales).to(device),
            Buffer.from_numpy(starts).to(device),
            Buffer.from_numpy(ids).to(device),
            _bfloat16_buffer(bias).to(device),
            Buffer.from_numpy(np.zeros(ops.COUNTERS, np.uint32)).to(device),
        )
        plain, biased, activated = (_read(output) for output in outputs)
        args = from_bfloat16(hidden), weights, starts, ids
        _assert_close(plain, *grouped_matmul(*args))
        reference = grouped_matmul(*args, from_bfloat16(bias))
        _assert_close(biased, *reference)
        _assert_close(activated, *swiglu(*reference))


def test_dense_matmul(
    hopper: None, kernel_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one row to many: the matmul changes its way with their number."""
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    from max.driver import Accelerator
    from max.dtype import DType
    from max.engine import InferenceSession
    from max.graph import DeviceRef, Graph, TensorType

    width, features = 2880, 1024
    gpu, device = DeviceRef.GPU(), Accelerator()
    with Graph(
        "dense",
        input_types=[
            TensorType(DType.bfloat16, ("rows", width), gpu),
            TensorType(DType.bfloat16, (features, width), gpu),
            TensorType(DType.bfloat16, (features,), gpu),
        ],
        custom_extensions=guard.require_package(),
    ) as graph:
        hidden, weight, bias = (value.tensor for value in graph.inputs)
        graph.output(ops.dense(hidden, weight, bias), ops.dense_float32(hidden, weight))
    model = InferenceSession(devices=[device]).load(graph)

    rng = np.random.default_rng(8)
    weight = to_bfloat16(rng.standard_normal((features, width)))
    bias = to_bfloat16(rng.standard_normal(features))
    for rows in (1, 2, 7, 16, 33, 64, 130, 256, 700):
        hidden = to_bfloat16(rng.standard_normal((rows, width)))
        rounded, exact = model.execute(
            *(_bfloat16_buffer(value).to(device) for value in (hidden, weight, bias))
        )
        values = from_bfloat16(hidden), from_bfloat16(weight)
        want = values[0] @ values[1].T
        bound = width * 2.0**-23 * (np.abs(values[0]) @ np.abs(values[1]).T)
        assert (np.abs(_read(exact) - want) <= bound).all()
        # Rounded before the bias is added, and after.
        bound += np.abs(want) * 2.0**-8
        want += from_bfloat16(bias)
        bound += np.abs(want) * 2.0**-8
        assert (np.abs(_read(rounded) - want) <= bound).all()


def _bfloat16_buffer(bits: np.ndarray):
    from max.driver import Buffer
    from max.dtype import DType

    return Buffer.from_numpy(bits).view(DType.bfloat16, bits.shape)


def _read(output) -> np.ndarray:
    from max.driver import CPU
    from max.dtype import DType

    host = output.to(CPU())
    if host.dtype != DType.bfloat16:
        return host.to_numpy()
    return from_bfloat16(host.view(DType.uint16, host.shape).to_numpy())


def _assert_close(got: np.ndarray, want: np.ndarray, error: np.ndarray) -> None:
    assert got.shape == want.shape
    assert np.all(np.isfinite(got))
    excess = np.abs(got - want) - (np.abs(want) * 2.0**-8 + error)
    assert excess.size == 0 or excess.max() <= 0, f"off by {excess.max()} too much"
