"""The check of every kernel before serving: its answers, its eyes, its refusal."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from max.driver import CPU

import reference
from mxfp4.gpt_oss import self_check
from mxfp4.gpt_oss.self_check import (
    TOKENS,
    compare,
    draw_tokens,
    draw_weights,
)
from mxfp4.kernels import contract, custom_extensions, ops

WEIGHTS = draw_weights()
COUNT = 30
CASE = draw_tokens(COUNT)
EXPERTS = contract.decode(WEIGHTS.blocks, WEIGHTS.scales)
ANSWERS = self_check.answers(WEIGHTS, EXPERTS, CASE)
BIASED = next(name for name in ANSWERS if name.endswith("_bias"))


def results() -> dict[str, np.ndarray]:
    """What perfect kernels would return."""
    return {name: np.array(answer.want) for name, answer in ANSWERS.items()}


def problems(got: dict[str, np.ndarray]) -> dict[str, str]:
    return compare(list(got.values()), ANSWERS, COUNT)


def test_every_code_and_scale_decodes_as_in_the_reference() -> None:
    codes = np.arange(16, dtype=np.uint8)
    blocks = np.tile(codes | (codes[::-1] << 4), (256, 1))
    scales = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    got, want = contract.decode(blocks, scales), reference.dequantize(blocks, scales)
    np.testing.assert_array_equal(got, want)
    assert np.isinf(want).any() and np.isnan(want).any()


def test_bfloat16_rounds_as_in_the_reference() -> None:
    values = np.random.default_rng(1).standard_normal(1000) * 100
    bits = contract.to_bfloat16(values)
    np.testing.assert_array_equal(bits, reference.to_bfloat16(values))
    np.testing.assert_array_equal(
        contract.from_bfloat16(bits), reference.from_bfloat16(bits)
    )


@pytest.mark.parametrize("count", TOKENS)
def test_the_answers_are_the_reference_s(count: int) -> None:
    tokens = draw_tokens(count)
    answers = self_check.answers(WEIGHTS, EXPERTS, tokens)
    inputs = (
        reference.from_bfloat16(tokens.grouped),
        reference.dequantize(WEIGHTS.blocks, WEIGHTS.scales),
        tokens.starts,
        tokens.ids,
    )
    bias = reference.from_bfloat16(WEIGHTS.bias)
    biased = reference.grouped_matmul(*inputs, bias)
    both = (biased, reference.swiglu(*biased))
    for answer, (want, error) in zip(answers.values(), both, strict=False):
        np.testing.assert_allclose(answer.want, want, rtol=1e-9, atol=1e-9)
        # No wider than the tests of the kernel allow.
        assert (answer.bound <= np.abs(want) * 2.0**-8 + error * 1.01 + 1e-12).all()


def test_the_order_of_the_rows_serves_the_combination() -> None:
    """What `sort_rows` says is consistent: a row's token has it among its places."""
    chosen = CASE.chosen
    starts, _, sources, places = (a.want for a in contract.sort_rows(chosen, 8))
    assert [sorted(set(row)) for row in chosen] == [sorted(row) for row in chosen]
    for token, row in enumerate(places):
        for slot, place in enumerate(row):
            assert sources[place] == token
            expert = chosen[token, slot]
            assert starts[expert] <= place < starts[expert + 1]
    for first, end in itertools.pairwise(starts):
        assert (np.diff(sources[first:end]) > 0).all()


def test_the_route_takes_the_first_of_equals_and_shares_sum_to_one() -> None:
    chosen, shares = contract.route(np.array([[0.0, 2.0, 2.0, 1.0]]), 3)
    assert chosen.want.tolist() == [[1, 2, 3]]
    np.testing.assert_allclose(shares.want.sum(axis=1), 1)
    ratio = shares.want[0, 0] / shares.want[0, 2]
    np.testing.assert_allclose(ratio, np.e)


def test_logits_are_exact_in_float32_and_tie_now_and_then() -> None:
    tokens = draw_tokens(TOKENS[-1])
    exact = contract.from_bfloat16(tokens.routed) @ (
        contract.from_bfloat16(WEIGHTS.router).T
    )
    assert (exact * 16 == np.round(exact * 16)).all()
    assert np.abs(exact).max() * 16 < 2**24
    assert any(len(set(row)) < len(row) for row in exact.tolist())


@pytest.mark.parametrize("count", TOKENS)
def test_one_expert_gets_nothing_and_the_others_something(count: int) -> None:
    loads = np.diff(draw_tokens(count).starts.astype(int))
    assert loads.sum() == count * self_check.TOP
    assert [load == 0 for load in loads].count(True) == 1


def test_the_kernel_s_own_test_knows_these_sizes() -> None:
    """There each number of tokens is seen to take tiles of another width."""
    file = Path(__file__).parents[2] / "kernels/test/test_tile_width.mojo"
    text = file.read_text()
    assert f"var tokens = {list(TOKENS)}" in text
    assert f"comptime TOP = {self_check.TOP}" in text
    assert f"comptime EXPERTS = {self_check.EXPERTS}" in text


def test_what_is_right_passes() -> None:
    assert problems(results()) == {}


def test_rounding_passes() -> None:
    got = results()
    got[BIASED] = contract.from_bfloat16(contract.to_bfloat16(got[BIASED]))
    assert problems(got) == {}


def test_a_swapped_expert_is_found() -> None:
    swapped = dataclasses.replace(CASE, ids=CASE.ids[[1, 0, *range(2, 8)]])
    got = results()
    got[BIASED] = self_check.answers(WEIGHTS, EXPERTS, swapped)[BIASED].want
    assert list(problems(got)) == [f"{BIASED} with {COUNT} tokens"]


def test_a_scale_off_by_one_is_found() -> None:
    scales = WEIGHTS.scales.copy()
    scales[0, 5, 20] += 1
    wrong = contract.decode(WEIGHTS.blocks, scales)
    got = results()
    got[BIASED] = self_check.answers(WEIGHTS, wrong, CASE)[BIASED].want
    (problem,) = problems(got).values()
    # All of one column of one expert, at most.
    assert int(problem.split()[0]) <= COUNT
    assert ", 5]: got " in problem


@pytest.mark.parametrize("name", ANSWERS)
def test_a_zeroed_result_is_found_of_every_op(name: str) -> None:
    got = results()
    # Counters are zero where they are right.
    got[name] = np.zeros_like(got[name]) if got[name].any() else got[name] + 1
    assert list(problems(got)) == [f"{name} with {COUNT} tokens"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ANSWERS)
def test_one_nan_or_infinity_is_found_and_named(name: str, value: float) -> None:
    got = results()
    got[name] = got[name].astype(np.float64)
    at = (1,) * got[name].ndim
    got[name][at] = value
    (problem,) = problems(got).values()
    assert problem.startswith(f"1 of {got[name].size} values are wrong")
    assert f"at {list(at)}: got {value}, expected " in problem


def test_rows_out_of_order_are_found() -> None:
    got = results()
    got[BIASED][[0, 1]] = got[BIASED][[1, 0]]
    assert problems(got)


def test_another_shape_is_found() -> None:
    got = results()
    got[BIASED] = got[BIASED][:-1]
    (problem,) = problems(got).values()
    assert problem == "its shape is [119, 160] and not [120, 160]"


def test_the_refusal_names_op_element_and_remedy() -> None:
    got = results()
    got[BIASED][2, 3] += 1000
    got["custom.moe.combine"][0, 0] = np.nan
    message = self_check.failure(problems(got))
    for part in (
        f"Self-check: {BIASED} with 30 tokens: 1 of 19200 values are wrong, the worst "
        "at [2, 3]: got ",
        "Wrong too: custom.moe.combine with 30 tokens.",
        "`mxfp4 build`",
        "--no-self-check",
    ):
        assert part in message


def test_a_wrong_kernel_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph's run is replaced by one whose combination is broken."""

    def run(*args: object) -> list[np.ndarray]:
        *_, inputs = args
        tokens = draw_tokens(len(inputs[-1]) // self_check.TOP)
        right = [a.want for a in self_check.answers(WEIGHTS, EXPERTS, tokens).values()]
        packed = np.ones(3, np.uint8)
        return [*right[:-1], right[-1] + 1, packed, packed]

    monkeypatch.delenv(self_check.VARIABLE, raising=False)
    monkeypatch.setattr(self_check, "graph", lambda *args: None)
    monkeypatch.setattr(self_check, "_run", run)
    session = SimpleNamespace(load=lambda graph: None)
    with pytest.raises(RuntimeError, match=r"custom\.moe\.combine with 6 tokens: 960"):
        self_check.check(session, [CPU()])


def test_each_of_several_devices_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one's combination is broken."""

    def run(*args: object) -> list[np.ndarray]:
        *_, inputs = args
        tokens = draw_tokens(len(inputs[-1]) // self_check.TOP)
        right = [a.want for a in self_check.answers(WEIGHTS, EXPERTS, tokens).values()]
        packed = np.ones(3, np.uint8)
        return [*right, packed, *right[:-1], right[-1] + 1, packed, packed]

    monkeypatch.delenv(self_check.VARIABLE, raising=False)
    monkeypatch.setattr(self_check, "graph", lambda *args: None)
    monkeypatch.setattr(self_check, "_run", run)
    session = SimpleNamespace(load=lambda graph: None)
    wrong = r"custom\.moe\.combine with 6 tokens on GPU 1 of the model's: 960"
    with pytest.raises(RuntimeError, match=wrong):
        self_check.check(session, [CPU()] * 2)


@pytest.mark.parametrize("count", [30, 300])
def test_each_dense_kernel_is_tried(count: int) -> None:
    tokens = draw_tokens(count)
    answers = self_check.answers(WEIGHTS, EXPERTS, tokens)
    hidden = reference.from_bfloat16(tokens.hidden).astype(np.float64)
    products = [
        hidden @ reference.from_bfloat16(part).astype(np.float64).T
        for part in WEIGHTS.dense
    ]
    assert [product.shape[1] for product in products] == [160, 192, 256]
    for product, bits in zip(products, WEIGHTS.dense_bias, strict=True):
        bias = reference.from_bfloat16(bits)
        answer = answers[self_check.dense_name(product.shape[1])]
        assert self_check.mismatch(product + bias, answer) is None
        assert self_check.mismatch(product, answer) is not None
        # Rounded before the bias comes to it, as MAX's does, in whole tiles alone.
        half = contract.from_bfloat16(contract.to_bfloat16(product)) + bias
        twice = contract.from_bfloat16(contract.to_bfloat16(half))
        off = np.abs(twice - answer.want) > answer.bound
        tiled = 256 if count == 300 and product.shape[1] != 160 else 0
        assert not off[:tiled].any() and off[tiled:].any()
    exact = answers[ops.DENSE_FLOAT32[0]]
    assert self_check.mismatch(products[0].astype(np.float32), exact) is None
    # Logits that were bfloat16 on the way are no longer right.
    half = contract.from_bfloat16(contract.to_bfloat16(products[0]))
    assert self_check.mismatch(half, exact) is not None


def test_a_device_that_is_not_there_compiles_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = []
    monkeypatch.delenv(self_check.VARIABLE, raising=False)
    monkeypatch.setattr(self_check, "graph", lambda *args: "graph")
    monkeypatch.setattr(self_check, "is_virtual_device_mode", lambda: True)
    self_check.check(SimpleNamespace(load=loaded.append), [CPU()])
    assert loaded == ["graph"]


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(self_check.VARIABLE, "0")
    self_check.check(SimpleNamespace(), [CPU()])


def test_every_kernel_is_right(
    hopper: None, kernel_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    monkeypatch.delenv(self_check.VARIABLE, raising=False)
    from max.driver import Accelerator
    from max.engine import InferenceSession

    device = Accelerator()
    self_check.check(InferenceSession(devices=[device]), [device])
