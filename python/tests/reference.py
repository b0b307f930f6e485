"""The numeric contract in float64, for tests alone."""

from __future__ import annotations

import numpy as np

CODES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
CODES = np.concatenate((CODES, -CODES))


def dequantize(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns float64 weights, `[..., K]`, that are exact in bfloat16.

    Args:
        blocks: `[..., K / 2]` uint8; the low nibble is the even element.
        scales: `[..., K / 32]` uint8 exponents with a bias of 127.
    """
    codes = np.stack((blocks & 15, blocks >> 4), axis=-1).reshape(
        *blocks.shape[:-1], -1
    )
    powers = np.exp2(scales.astype(np.float64) - 127)
    powers[scales == 255] = np.nan
    values = CODES[codes] * np.repeat(powers, 32, axis=-1)
    # Two significant bits: only the range can make a value inexact in bfloat16.
    overflow = np.abs(values) >= 2.0**128
    values[overflow] = np.copysign(np.inf, values[overflow])
    return values


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounds to bfloat16 and returns its bits, in uint16."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Returns the float64 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def grouped_matmul(
    hidden: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    ids: np.ndarray,
    bias: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the float64 products, and the error that float32 sums may have."""
    rows, outs = hidden.shape[0], weights.shape[1]
    result, error = np.zeros((rows, outs)), np.zeros((rows, outs))
    for group, expert in enumerate(ids):
        span = slice(starts[group], starts[group + 1])
        if expert < 0 or span.start == span.stop:
            continue
        matrix = weights[expert].T
        result[span] = hidden[span] @ matrix
        error[span] = np.abs(hidden[span]) @ np.abs(matrix)
        if bias is not None:
            result[span] += bias[expert]
            error[span] += np.abs(bias[expert])
    return result, error * hidden.shape[1] * 2.0**-23


def swiglu(gate_up: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns GPT-OSS's activation, and how far its input's error carries."""
    gate = np.minimum(gate_up[:, 0::2], 7.0)
    up = np.clip(gate_up[:, 1::2], -7.0, 7.0)
    glu = gate / (1 + np.exp(-1.702 * gate))
    # The slope of glu is below 1.1, and |up + 1| is at most 8; |glu| is at most 7.
    return (up + 1) * glu, 8.8 * error[:, 0::2] + 7 * error[:, 1::2]
