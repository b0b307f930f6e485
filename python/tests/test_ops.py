"""Op names, and the checks before an op is placed in a graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from max.dtype import DType
from max.graph import DeviceRef, Graph, TensorType, TensorValue
from max.graph.ops import gather

from mxfp4.kernels import custom_extensions, guard, ops

GPU = DeviceRef.GPU()
EXPERTS, OUT, IN = 4, 96, 160


def argument_types() -> dict[str, TensorType]:
    """Arguments that fit together: 160 features to 96, in 3 and 2 tiles."""
    return {
        "hidden": TensorType(DType.bfloat16, ("rows", IN), GPU),
        "weights": TensorType(DType.uint8, (EXPERTS, 2, 3 * 2176), GPU),
        "expert_start_indices": TensorType(DType.uint32, (EXPERTS + 1,), GPU),
        "expert_ids": TensorType(DType.int32, (EXPERTS,), GPU),
        "bias": TensorType(DType.bfloat16, (EXPERTS, OUT), GPU),
        "counters": TensorType(DType.uint32, (ops.COUNTERS,), GPU),
    }


@pytest.fixture
def arguments() -> Iterator[Callable[..., dict[str, TensorValue]]]:
    """Returns the arguments in a graph, some of them replaced."""
    graphs = []

    def build(**replaced: TensorType) -> dict[str, TensorValue]:
        types = argument_types() | replaced
        graph = Graph("arguments", input_types=list(types.values()))
        graph.__enter__()
        graphs.append(graph)
        return {
            name: value.tensor for name, value in zip(types, graph.inputs, strict=True)
        }

    yield build
    for graph in reversed(graphs):
        # An exception, so that the graph does not ask for its outputs.
        graph.__exit__(RuntimeError, None, None)


def test_names_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ops.OVERRIDE, raising=False)
    assert ops.matmul_names() == ("mo.moe.mx4.matmul", "custom.moe.mx4.matmul")
    assert ops.matmul_names("_swiglu") == (
        "mo.moe.mx4.matmul_swiglu",
        "custom.moe.mx4.matmul_swiglu",
    )


def test_the_override_is_the_only_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ops.OVERRIDE, "mine.matmul")
    assert ops.matmul_names() == ("mine.matmul",)
    assert ops.matmul_names("_bias") == ("mine.matmul_bias",)


def test_packed_shapes_are_padded() -> None:
    assert ops.packed_shape(32, 5760, 2880) == (32, 90, 45 * 2176)
    assert ops.packed_shape(4, 96, 160) == (4, 2, 3 * 2176)


@pytest.mark.parametrize(("rows", "cols"), [(33, 64), (64, 0), (64, 100)])
def test_features_come_in_groups_of_32(rows: int, cols: int) -> None:
    with pytest.raises(ValueError, match=r"positive multiple of 32, got (33|0|100)"):
        ops.packed_shape(1, rows, cols)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "hidden",
            TensorType(DType.float32, ("rows", IN), GPU),
            "hidden must be bfloat16, got float32",
        ),
        (
            "hidden",
            TensorType(DType.bfloat16, (2, "rows", IN), GPU),
            "hidden must have 2 dimension(s), got 3: [2, rows, 160]",
        ),
        (
            "hidden",
            TensorType(DType.bfloat16, ("rows", 224), GPU),
            "weights must be [4, 2, 8704] for 224 to 96 features of 4 experts, "
            "got [4, 2, 6528]",
        ),
        (
            "weights",
            TensorType(DType.uint8, (EXPERTS, 96, 80), GPU),
            "weights must be [4, 2, 6528] for 160 to 96 features of 4 experts, "
            "got [4, 96, 80]",
        ),
        (
            "weights",
            TensorType(DType.int8, (EXPERTS, 2, 6528), GPU),
            "weights must be uint8, got int8",
        ),
        (
            "weights",
            TensorType(DType.uint8, (EXPERTS, 2 * 6528), GPU),
            "weights must have 3 dimension(s), got 2: [4, 13056]",
        ),
        (
            "expert_start_indices",
            TensorType(DType.int32, (EXPERTS + 1,), GPU),
            "expert_start_indices must be uint32, got int32",
        ),
        (
            "expert_ids",
            TensorType(DType.int32, (EXPERTS, 1), GPU),
            "expert_ids must have 1 dimension(s), got 2: [4, 1]",
        ),
        (
            "bias",
            TensorType(DType.bfloat16, (EXPERTS, IN), GPU),
            "bias must be [4, 96] for 160 to 96 features of 4 experts, got [4, 160]",
        ),
        (
            "counters",
            TensorType(DType.int32, (2,), GPU),
            "counters must be uint32, got int32",
        ),
        (
            "counters",
            TensorType(DType.uint32, (3,), GPU),
            "counters must be [2] for the products of a layer, got [3]",
        ),
    ],
)
def test_messages_name_both_sides(
    arguments: Callable[..., dict[str, TensorValue]],
    name: str,
    wrong: TensorType,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.grouped_mxfp4_matmul(**arguments(**{name: wrong}), out_features=OUT)


def test_counters_and_a_bias_come_together(
    arguments: Callable[..., dict[str, TensorValue]],
) -> None:
    without = arguments()
    del without["counters"]
    with pytest.raises(ValueError, match="with a bias needs counters, got none"):
        ops.grouped_mxfp4_matmul(**without, out_features=OUT)
    without = arguments()
    del without["bias"]
    with pytest.raises(ValueError, match="only a product with a bias takes counters"):
        ops.grouped_mxfp4_matmul(**without, out_features=OUT)


def test_swiglu_needs_a_bias(
    arguments: Callable[..., dict[str, TensorValue]],
) -> None:
    values = arguments()
    del values["bias"]
    with pytest.raises(ValueError, match="the fused SwiGLU needs a bias, got none"):
        ops.grouped_mxfp4_matmul(**values, out_features=OUT, swiglu=True)


def test_a_graph_without_the_package_is_refused(
    arguments: Callable[..., dict[str, TensorValue]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAX_CUSTOM_EXTENSIONS", raising=False)
    with pytest.raises(
        RuntimeError,
        match=r"registers mo\.moe\.mx4\.matmul_bias or custom\.moe\.mx4\.matmul_bias.*"
        "Packages loaded: none",
    ):
        ops.grouped_mxfp4_matmul(**arguments(), out_features=OUT)


@pytest.mark.parametrize(
    ("blocks", "scales", "message"),
    [
        ((4, 96, 80), (4, 96, 4), r"[4, 96, 80] and scales [4, 96, 4] do not belong"),
        ((4, 96, 80), (4, 64, 5), r"[4, 96, 80] and scales [4, 64, 5] do not belong"),
        ((4, 96, 80), (2, 96, 5), r"[4, 96, 80] and scales [2, 96, 5] do not belong"),
        (("e", "n", "b"), ("e", "m", "g"), r"[e, n, b] and scales [e, m, g] do not"),
        ((4, 96, 5, 16), (4, 96, 5), r"blocks must have 3 dimension(s), got 4"),
        ((4, 96, 80), (4, 480), r"scales must have 3 dimension(s), got 2: [4, 480]"),
    ],
)
def test_packing_needs_blocks_and_scales_that_match(
    arguments: Callable[..., dict[str, TensorValue]],
    blocks: tuple[int | str, ...],
    scales: tuple[int | str, ...],
    message: str,
) -> None:
    values = arguments(
        blocks=TensorType(DType.uint8, blocks, GPU),
        scales=TensorType(DType.uint8, scales, GPU),
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.pack(values["blocks"], values["scales"])


def test_only_swiglu_gathers(
    arguments: Callable[..., dict[str, TensorValue]],
) -> None:
    values = arguments(sources=TensorType(DType.uint32, ("routed",), GPU))
    with pytest.raises(ValueError, match="only the fused SwiGLU takes the sources"):
        ops.grouped_mxfp4_matmul(**values, out_features=OUT)


def test_only_the_product_with_a_bias_begins_early(
    arguments: Callable[..., dict[str, TensorValue]],
) -> None:
    with pytest.raises(ValueError, match="only the product with a bias, and no more"):
        ops.grouped_mxfp4_matmul(
            **arguments(), out_features=OUT, swiglu=True, after_product=True
        )


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (ops.dense, [("m", 96), (64, 32), (64,)], "hidden [m, 96] and weight [64, 32]"),
        (ops.dense, [("m", 96), (64, 96), (96,)], "bias must be [64], got [96]"),
        (ops.dense, [(96,), (64, 96), (64,)], "hidden must have 2 dimension(s), got 1"),
        (ops.dense_float32, [("m", 96), (64, 32)], "[m, 96] and weight [64, 32]"),
    ],
)
def test_dense_shapes_must_agree(
    arguments: Callable[..., dict[str, TensorValue]],
    op: Callable[..., TensorValue],
    shapes: list[tuple[int | str, ...]],
    message: str,
) -> None:
    names = [f"input{index}" for index in range(len(shapes))]
    types = [TensorType(DType.bfloat16, shape, GPU) for shape in shapes]
    values = arguments(**dict(zip(names, types, strict=True)))
    with pytest.raises(ValueError, match=re.escape(message)):
        op(*(values[name] for name in names))


def test_one_share_for_each_place(
    arguments: Callable[..., dict[str, TensorValue]],
) -> None:
    values = arguments(
        rows=TensorType(DType.bfloat16, ("routed", 96), GPU),
        places=TensorType(DType.uint32, ("m", 4), GPU),
        shares=TensorType(DType.float32, ("m", 2), GPU),
    )
    with pytest.raises(ValueError, match=re.escape("[m, 4] and shares [m, 2] must")):
        ops.combine(values["rows"], values["places"], values["shares"])


def test_shapes_through_the_layer(
    kernel_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each op's result is for any number of tokens, in a graph that knows them."""
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    features, experts, top = 96, 8, 4
    types = [
        TensorType(DType.bfloat16, shape, GPU)
        for shape in (("m", features), (experts, features), (experts,))
    ]
    with Graph(
        "layer", input_types=types, custom_extensions=guard.require_package()
    ) as graph:
        hidden, router, bias = (value.tensor for value in graph.inputs)
        chosen, shares = ops.route(hidden, router, bias, top)
        starts, counters, sources, places = ops.sort_rows(chosen, experts)
        logits = ops.dense_float32(hidden, router)
        graph.output(
            ops.combine(gather(hidden, sources, axis=0), places, shares), logits
        )
    m = hidden.shape[0]
    assert (chosen.dtype, list(chosen.shape)) == (DType.int32, [m, top])
    assert (shares.dtype, list(shares.shape)) == (DType.float32, [m, top])
    assert (starts.dtype, list(starts.shape)) == (DType.uint32, [experts + 1])
    assert (counters.dtype, list(counters.shape)) == (DType.uint32, [ops.COUNTERS])
    assert (sources.dtype, list(sources.shape)) == (DType.uint32, [m * top])
    assert (places.dtype, list(places.shape)) == (DType.uint32, [m, top])
    assert (logits.dtype, list(logits.shape)) == (DType.float32, [m, experts])
