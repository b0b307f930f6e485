"""Rotations as GPT-OSS was trained with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from max.driver import CPU
from max.engine import InferenceSession
from max.graph import Graph
from max.nn.rotary_embedding import YarnRotaryEmbedding, YarnScalingParams

from mxfp4.gpt_oss.rope import RotaryEmbedding, inverse_frequencies

HEAD_DIM, THETA, POSITIONS = 64, 150_000.0, 6000


def scaling(truncate: bool) -> YarnScalingParams:
    """Those of the published models' config.json."""
    return YarnScalingParams(
        factor=32.0,
        beta_fast=32.0,
        beta_slow=1.0,
        original_max_position_embeddings=4096,
        truncate=truncate,
    )


def embedding(truncate: bool) -> YarnRotaryEmbedding:
    return YarnRotaryEmbedding(
        dim=2880,
        n_heads=64,
        theta=THETA,
        max_seq_len=POSITIONS,
        head_dim=HEAD_DIM,
        interleaved=False,
        scaling_params=scaling(truncate),
    )


@pytest.fixture(scope="module")
def rotations() -> list[np.ndarray]:
    """Cosines and sines, [position, pair, 2]: MAX's, ours with its rounding, ours."""
    embeddings = [
        embedding(truncate=True),
        RotaryEmbedding.like(embedding(truncate=True)),
        RotaryEmbedding.like(embedding(truncate=False)),
    ]
    with Graph("rotations", input_types=()) as graph:
        graph.output(*(each.freqs_cis_base() for each in embeddings))
    values = InferenceSession(devices=[CPU()]).load(graph).execute()
    return [value.to_numpy() for value in values]


def test_between_the_two_ends_of_the_range_a_share_is_interpolated() -> None:
    got = inverse_frequencies(HEAD_DIM, THETA, scaling(truncate=False))
    plain = [THETA ** (-2 * pair / HEAD_DIM) for pair in range(32)]
    # Pair p turns 4096 / (2 pi theta^(2p/64)) times in 4096 tokens; 32 times at
    # p = 8.093, once at p = 17.398.
    np.testing.assert_allclose(got[:9], plain[:9], rtol=1e-6)
    np.testing.assert_allclose(got[18:], np.divide(plain[18:], 32), rtol=1e-6)
    share = (12 - 8.0928) / (17.3978 - 8.0928)
    want = plain[12] * (1 - share) + plain[12] / 32 * share
    assert got[12] == pytest.approx(want, rel=1e-4)


def test_a_model_that_rounds_its_range_has_maxs_frequencies(
    rotations: list[np.ndarray],
) -> None:
    wanted, got, _ = rotations
    # Float32 angles of up to 6000.
    np.testing.assert_allclose(got, wanted, atol=2e-3)


def test_the_published_models_do_not(rotations: list[np.ndarray]) -> None:
    _, rounded, got = rotations
    angles = np.outer(
        np.arange(POSITIONS, dtype=np.float32),
        inverse_frequencies(HEAD_DIM, THETA, scaling(truncate=False)),
    )
    # YaRN's attention temperature, section 3.4 of the paper.
    length = 0.1 * math.log(32.0) + 1
    wanted = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * length
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    assert np.abs(got[5000] - rounded[5000]).max() > 1
