"""The numeric contract on the host, in float64: what each op must return, and within
what bound.

For the self-check alone, on shapes of its own. It is no way to run a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxfp4.kernels.ops import COUNTERS, GROUP, SWIGLU_LIMIT

BFLOAT16_STEP = 2.0**-8
"""What rounding to bfloat16 may change, relative to the value."""

FLOAT32_STEP = 2.0**-23

SWIGLU_ALPHA = 1.702
SWIGLU_SLOPE = 1.1
"""The gate's part of SwiGLU is nowhere steeper."""

EXP_ERROR = 1e-5
"""What the device's exponential may do to a share of the router."""

_MAGNITUDES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


@dataclass(frozen=True)
class Answer:
    """What an op must return."""

    want: np.ndarray
    bound: np.ndarray | float = 0.0
    """How far from it a result may be."""


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounds finite values to bfloat16, to even, and returns the bits in uint16."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Returns the float64 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def decode(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns the float64 weights of `[..., K / 2]` blocks and `[..., K / 32]` scales.

    A weight has two significant bits, so of its rounding to bfloat16 only the
    overflow is left, and that is float32's.
    """
    with np.errstate(over="ignore"):
        codes = np.concatenate((_MAGNITUDES, -_MAGNITUDES))
        exponents = np.arange(256)[:, np.newaxis] - 127
        table = np.ldexp(codes, exponents).astype(np.float32).astype(np.float64)
    table[255] = np.nan
    shape = *blocks.shape[:-1], blocks.shape[-1] * 2
    codes = np.stack((blocks & 15, blocks >> 4), axis=-1).reshape(shape)
    return table[np.repeat(scales, GROUP, axis=-1), codes]


def grouped_matmul(
    rows: np.ndarray, weights: np.ndarray, starts: np.ndarray, ids: np.ndarray
) -> Answer:
    """Returns the products of each group's rows with its expert, in float32."""
    want = np.zeros((len(rows), weights.shape[1]))
    bound = np.zeros_like(want)
    for group, expert in enumerate(ids):
        part = slice(starts[group], starts[group + 1])
        part_of = product(rows[part], weights[expert])
        want[part], bound[part] = part_of.want, part_of.bound
    return Answer(want, bound)


def add(answer: Answer, bias: np.ndarray) -> Answer:
    """Returns a product in float32 with a bias added in float32."""
    want = answer.want + bias
    return Answer(want, answer.bound + (np.abs(bias) + np.abs(want)) * FLOAT32_STEP)


def swiglu(gate_up: Answer) -> Answer:
    """Returns GPT-OSS's activation of what is in float32."""
    gate = np.minimum(gate_up.want[:, 0::2], SWIGLU_LIMIT)
    up = np.clip(gate_up.want[:, 1::2], -SWIGLU_LIMIT, SWIGLU_LIMIT)
    bound = np.broadcast_to(gate_up.bound, gate_up.want.shape)
    glu = gate / (1 + np.exp(-SWIGLU_ALPHA * gate))
    steepest = SWIGLU_SLOPE * (SWIGLU_LIMIT + 1)
    return Answer(
        (up + 1) * glu, steepest * bound[:, 0::2] + SWIGLU_LIMIT * bound[:, 1::2]
    )


def rounded(answer: Answer) -> Answer:
    """Allows for one rounding to bfloat16."""
    return Answer(answer.want, answer.bound + np.abs(answer.want) * BFLOAT16_STEP)


def route(logits: np.ndarray, top: int) -> tuple[Answer, Answer]:
    """Returns the experts and their shares, of logits that float32 sums exactly."""
    # Of equals the lower number: a stable sort of what is negated.
    chosen = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    highest = np.take_along_axis(logits, chosen, axis=1)
    shares = np.exp(highest - highest[:, :1])
    shares /= shares.sum(axis=1, keepdims=True)
    return Answer(chosen), Answer(shares, EXP_ERROR)


def sort_rows(
    chosen: np.ndarray, experts: int
) -> tuple[Answer, Answer, Answer, Answer]:
    """Returns each expert's first row, counters, each row's token, each slot's row."""
    slots = chosen.reshape(-1)
    order = np.argsort(slots, kind="stable")
    places = np.empty(len(slots), np.int64)
    places[order] = np.arange(len(slots))
    starts = np.searchsorted(slots[order], np.arange(experts + 1))
    return (
        Answer(starts),
        Answer(np.zeros(COUNTERS, np.int64)),
        Answer(order // chosen.shape[1]),
        Answer(places.reshape(chosen.shape)),
    )


def combine(rows: np.ndarray, places: np.ndarray, shares: np.ndarray) -> Answer:
    """Returns the weighted sums of each token's rows."""
    terms = rows[places] * shares[..., np.newaxis].astype(np.float64)
    bound = np.abs(terms).sum(axis=1) * places.shape[1] * FLOAT32_STEP
    return rounded(Answer(terms.sum(axis=1), bound))


def product(rows: np.ndarray, weight: np.ndarray) -> Answer:
    """Returns the product with `[N, K]` weights in float32."""
    # The bound is none that float32 could spoil, and half the work in it.
    absolute = np.abs(rows).astype(np.float32) @ np.abs(weight.T).astype(np.float32)
    error = rows.shape[1] * FLOAT32_STEP * (1 + 2.0**-10)
    return Answer(rows @ weight.T, absolute.astype(np.float64) * error)
