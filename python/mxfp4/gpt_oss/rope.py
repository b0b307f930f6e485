"""Rotary position embedding as GPT-OSS was trained with it.

MAX rounds the range of dimensions between which YaRN goes over from one frequency to
the other to whole numbers, as YaRN's authors did. GPT-OSS says `"truncate": false` in
its config.json: the range ends where it ends. With MAX's, a rotation is a radian or two
off at a distance of 5000 tokens.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from max.graph import DeviceRef, TensorValue, ops
from max.nn.rotary_embedding import YarnRotaryEmbedding, YarnScalingParams


def inverse_frequencies(
    head_dim: int, theta: float, scaling: YarnScalingParams
) -> npt.NDArray[np.float32]:
    """Returns the radians a position of each pair of features.

    Source: YaRN (arXiv 2309.00071), section 3.2, "NTK-by-parts" interpolation.

    Args:
        head_dim: Features of a head.
        theta: The base of the frequencies.
        scaling: YaRN's parameters.

    Returns:
        Float32, [head_dim / 2], descending.
    """
    plain = theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)

    def dimension(rotations: float) -> float:
        """The pair that turns so often within the original context."""
        length = scaling.original_max_position_embeddings
        return (
            head_dim
            * math.log(length / (rotations * 2 * math.pi))
            / (2 * math.log(theta))
        )

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    # Where both are the same there is a step.
    ramp = (np.arange(head_dim // 2) - low) / max(high - low, 0.001)
    share = np.clip(ramp, 0, 1)
    return (plain * (1 - share) + plain / scaling.factor * share).astype(np.float32)


class RotaryEmbedding(YarnRotaryEmbedding):
    """MAX's YaRN with the frequencies above."""

    @classmethod
    def like(cls, other: YarnRotaryEmbedding) -> RotaryEmbedding:
        """Returns one for the same model."""
        return cls(
            dim=other.dim,
            n_heads=other.n_heads,
            theta=other.theta,
            max_seq_len=other.max_seq_len,
            head_dim=other.head_dim,
            interleaved=other.interleaved,
            scaling_params=other.scaling_params,
        )

    def _compute_yarn_freqs(self) -> TensorValue:
        assert self.scaling_params is not None, "GPT-OSS has YaRN"
        return ops.constant(
            inverse_frequencies(self.head_dim, self.theta, self.scaling_params),
            device=DeviceRef.CPU(),
        )
