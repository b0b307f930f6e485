"""The sampler whose columns of no token are masked in place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from max.dtype import DType
from max.graph import BufferType, DeviceRef, Graph, TensorType
from max.pipelines.lib.pipeline_variants import text_generation
from max.pipelines.sampling import SamplingConfig

from mxfp4.kernels import custom_extensions, guard, ops
from mxfp4.max_patches import registry

GPU = DeviceRef.GPU()

TOKENS = 200019

COPY = re.compile(r"rmo\.select.*vocab_size")
"""All logits anew, as MAX masks them."""


MASKED = "mo.apply_packed_bitmask"
"""All logits anew, as MAX masks the tokens that a grammar does not allow."""


def graph_of(
    device: DeviceRef, extensions: tuple[Path, ...], masks: bool = False
) -> str:
    """What MAX compiles of a sampler."""
    assert registry.apply("sampler").kind is registry.Kind.APPLIES
    made = text_generation.TopKSampler(
        SamplingConfig(),
        device=device,
        needs_bitmask_input=masks,
        unpadded_vocab_size=TOKENS,
    )
    with Graph(
        "sampler", input_types=made.input_types, custom_extensions=extensions
    ) as graph:
        graph.output(*made(*graph.inputs))
    return str(graph)


@pytest.fixture
def package(kernel_package: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    return guard.require_package()


def test_columns_of_no_token_are_masked_in_place(package: tuple[Path, ...]) -> None:
    text = graph_of(GPU, package)
    assert ops.MASK_PADDING[0] in text
    assert f"tokens = {TOKENS}" in text
    assert not COPY.search(text)


def test_tokens_of_a_grammar_are_masked_in_place(package: tuple[Path, ...]) -> None:
    text = graph_of(GPU, package, masks=True)
    assert ops.MASK_TOKENS[0] in text
    assert MASKED not in text
    assert ops.MASK_TOKENS[0] not in graph_of(GPU, package)
    # Whatever else a sampler is, it has masks where it is to have them.
    assert MASKED in graph_of(GPU, (), masks=True)
    assert MASKED in graph_of(DeviceRef.CPU(), package, masks=True)


@pytest.mark.parametrize("where", ["without the package", "on the host"])
def test_another_sampler_is_as_max_has_it(
    where: str, package: tuple[Path, ...]
) -> None:
    text = graph_of(
        *((GPU, ()) if where == "without the package" else (DeviceRef.CPU(), package))
    )
    assert ops.MASK_PADDING[0] not in text
    assert COPY.search(text)


def test_the_ops_take_a_buffer_of_floats(package: tuple[Path, ...]) -> None:
    with Graph(
        "padding",
        input_types=[
            BufferType(DType.float32, ("rows", 1024), GPU),
            BufferType(DType.bfloat16, ("rows", 1024), GPU),
            TensorType(DType.int32, ("rows", 32), GPU),
            TensorType(DType.int64, ("rows", 32), GPU),
        ],
        custom_extensions=package,
    ) as graph:
        logits, half, mask, wide = graph.inputs
        ops.mask_padding(logits.buffer, 1000)
        ops.mask_tokens(logits.buffer, mask.tensor)
        with pytest.raises(ValueError, match="mask must be int32 with two"):
            ops.mask_tokens(logits.buffer, wide.tensor)
        with pytest.raises(ValueError, match="logits must be float32 with two"):
            ops.mask_padding(half.buffer, 1000)
        with pytest.raises(ValueError, match="tokens must be at least 1, got 0"):
            ops.mask_padding(logits.buffer, 0)
        graph.output()
