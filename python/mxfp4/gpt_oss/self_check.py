"""Checks our kernels on each device, before they serve.

One graph holds each op once for each device. It is run with a few numbers of tokens, of
which each makes the ops choose another kernel, and what comes back is compared with the
numeric contract in float64. The inputs are the same each time.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from max.driver import CPU, Buffer, Device, is_virtual_device_mode
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import DeviceRef, Graph, TensorType, TensorValue

from mxfp4.kernels import contract, guard, ops
from mxfp4.kernels.contract import Answer, from_bfloat16, to_bfloat16

logger = logging.getLogger("max.pipelines.mxfp4")

VARIABLE = "MXFP4_SELF_CHECK"
"""Environment variable that turns the check off with `0`."""

EXPERTS = 8
TOP = 4
FEATURES = 672
"""Ten and a half of the kernel's steps along the contraction: the last is padded, and
the ring of a wide tile comes round."""
OUT_FEATURES = 160
"""Two and a half tiles of weight rows."""
VARIANTS = ("_bias", "_swiglu_gather")
"""The grouped matmuls that the model calls; the others are left to the tests."""

TOKENS = (6, 12, 30, 64, 140, 300)
"""On average 3, 6, 15, 32, 70 and 150 rows an expert: each makes the grouped matmul
take tiles of another width, 8 to 256. The last makes the router take its other kernel,
and the one before it larger clusters. The dense matmuls for few tokens have tiles of
16, 32, 64 and 128, all of which occur; of the last `TILED` tokens are in MAX's."""

TILED = 256
"""How many of 300 tokens whole tiles of MAX's matmul take, where it is called."""

DENSE_FEATURES = (OUT_FEATURES, 192, 256)
"""The first has no tiles of MAX's matmul, and the others have those of GPT-OSS's
attention: 192 weight rows for its output, 256 for query, key and value."""

LOADS = (300, 250, 0, 210, 180, 120, 90, 50)
"""How many of 300 tokens go to each expert: none to one of them, and so many to the
others that blocks of every width occur inside the widest tile."""

ADVICE = (
    "A kernel that is wrong here does not serve. Delete the workspace's folder `build` "
    "and run `mxfp4 build`; if that does not help, delete `.venv`, run `mxfp4 setup`, "
    "and run `mxfp4 test` on this GPU. `mxfp4 serve --no-self-check` serves all the "
    "same."
)


@dataclass(frozen=True)
class Weights:
    """What is the same for any number of tokens; bfloat16 as its bits."""

    blocks: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    router: np.ndarray
    router_bias: np.ndarray
    dense: tuple[np.ndarray, ...]
    dense_bias: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Tokens:
    """What comes with so many tokens."""

    hidden: np.ndarray
    grouped: np.ndarray
    routed: np.ndarray
    chosen: np.ndarray
    starts: np.ndarray
    counters: np.ndarray
    ids: np.ndarray
    sources: np.ndarray
    places: np.ndarray
    shares: np.ndarray
    made: np.ndarray


def check(session: InferenceSession, devices: Sequence[Device]) -> None:
    """Compiles the graph and, unless the devices are virtual, runs it.

    Args:
        session: What to compile with.
        devices: Where to run.

    Raises:
        RuntimeError: A kernel is wrong.
    """
    if os.environ.get(VARIABLE) == "0":
        logger.warning("Self-check: skipped, because %s is 0", VARIABLE)
        return
    # Compiled in either mode, so that a warmed cache holds it.
    model = session.load(graph([DeviceRef.from_device(each) for each in devices]))
    if is_virtual_device_mode():
        return
    start = time.perf_counter()
    weights = draw_weights()
    experts = contract.decode(weights.blocks, weights.scales)
    problems: dict[str, str] = {}
    for count in TOKENS:
        tokens = draw_tokens(count)
        wanted = answers(weights, experts, tokens)
        *results, expected = _run(model, devices, _inputs(weights, tokens))
        wanted[ops.PACK[-1]] = Answer(expected)
        for number in range(len(devices)):
            mine = results[number * len(wanted) :][: len(wanted)]
            where = f" on GPU {number} of the model's" if number else ""
            problems |= compare(mine, wanted, count, where)
    if problems:
        raise RuntimeError(failure(problems))
    logger.info(
        "Self-check: %d kernels right with %d numbers of tokens, GPUs: %d, in %.0f ms",
        len(VARIANTS) + len(DENSE_FEATURES) + 5,
        len(TOKENS),
        len(devices),
        (time.perf_counter() - start) * 1e3,
    )


def compare(
    results: Sequence[np.ndarray],
    wanted: Mapping[str, Answer],
    count: int,
    where: str = "",
) -> dict[str, str]:
    """Returns what is wrong of which op's results, with so many tokens."""
    problems = {}
    for result, (name, answer) in zip(results, wanted.items(), strict=True):
        if problem := mismatch(result, answer):
            problems[f"{name} with {count} tokens{where}"] = problem
    return problems


def mismatch(got: np.ndarray, answer: Answer) -> str | None:
    """Says how a result differs from what it must be, if it does."""
    want = np.asarray(answer.want, np.float64)
    if got.shape != want.shape:
        return f"its shape is {list(got.shape)} and not {list(want.shape)}"
    bound = np.broadcast_to(answer.bound, want.shape)
    excess = np.abs(got.astype(np.float64) - want) - bound
    # Asked like this, a NaN is wrong too.
    wrong = ~(excess <= 0)
    if not wrong.any():
        return None
    excess[np.isnan(excess)] = np.inf
    worst = np.unravel_index(np.argmax(excess), want.shape)
    return (
        f"{np.count_nonzero(wrong)} of {want.size} values are wrong, the worst at "
        f"{[int(index) for index in worst]}: got {got[worst]:.6g}, expected "
        f"{want[worst]:.6g} within {bound[worst]:.2g}"
    )


def failure(problems: Mapping[str, str]) -> str:
    """Returns the message that names what is wrong and says what to do."""
    (name, problem), *others = problems.items()
    message = f"Self-check: {name}: {problem}."
    if others:
        message += f" Wrong too: {'; '.join(other for other, _ in others)}."
    return f"{message} {ADVICE}"


def draw_weights() -> Weights:
    """Draws the weights, the same each time."""
    rng = np.random.default_rng(0)
    shape = EXPERTS, OUT_FEATURES
    return Weights(
        blocks=rng.integers(0, 256, (*shape, FEATURES // 2), np.uint8),
        scales=rng.integers(118, 124, (*shape, FEATURES // ops.GROUP), np.uint8),
        bias=to_bfloat16(rng.standard_normal(shape)),
        # Logits of these are exact in float32: a choice is right or wrong, ties too.
        router=to_bfloat16(rng.integers(-2, 3, (EXPERTS, FEATURES)) / 16),
        router_bias=to_bfloat16(rng.integers(-2, 3, EXPERTS) / 16),
        dense=tuple(
            to_bfloat16(rng.standard_normal((features, FEATURES)))
            for features in DENSE_FEATURES
        ),
        dense_bias=tuple(
            to_bfloat16(rng.standard_normal(features)) for features in DENSE_FEATURES
        ),
    )


def draw_tokens(count: int) -> Tokens:
    """Draws what comes with so many tokens, the same each time."""
    rng = np.random.default_rng(count)
    chosen = _choices(count, rng)
    starts, counters, sources, places = (
        part.want for part in contract.sort_rows(chosen, EXPERTS)
    )
    hidden = to_bfloat16(rng.standard_normal((count, FEATURES)))
    return Tokens(
        hidden=hidden,
        grouped=hidden[sources],
        routed=to_bfloat16(rng.integers(-1, 2, (count, FEATURES))),
        chosen=chosen,
        starts=starts.astype(np.uint32),
        counters=counters.astype(np.uint32),
        ids=np.arange(EXPERTS, dtype=np.int32),
        sources=sources.astype(np.uint32),
        places=places.astype(np.uint32),
        shares=rng.dirichlet(np.ones(TOP), count).astype(np.float32),
        made=to_bfloat16(rng.standard_normal((count * TOP, OUT_FEATURES))),
    )


def _choices(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns each token's experts, which differ, in the proportions of `LOADS`."""
    ends = np.round(np.cumsum(LOADS) * count / sum(LOADS) * TOP).astype(int)
    experts = np.repeat(np.arange(EXPERTS), np.diff(ends, prepend=0))
    # No expert has more slots than there are tokens, so a column apart is another.
    columns = experts.reshape(TOP, count).T
    return rng.permuted(rng.permutation(columns), axis=1).astype(np.int32)


def answers(weights: Weights, experts: np.ndarray, tokens: Tokens) -> dict[str, Answer]:
    """Returns what the ops of an expert layer must return; `experts` are decoded."""
    plain = contract.grouped_matmul(
        from_bfloat16(tokens.grouped), experts, tokens.starts, tokens.ids
    )
    of_rows = np.repeat(tokens.ids, np.diff(tokens.starts.astype(np.int64)))
    biased = contract.add(plain, from_bfloat16(weights.bias)[of_rows])
    logits = from_bfloat16(tokens.routed) @ from_bfloat16(weights.router).T
    chosen, shares = contract.route(logits + from_bfloat16(weights.router_bias), TOP)
    starts, counters, sources, places = contract.sort_rows(tokens.chosen, EXPERTS)
    hidden = from_bfloat16(tokens.hidden)
    dense = [contract.product(hidden, from_bfloat16(part)) for part in weights.dense]
    with_bias = {
        dense_name(len(bias)): _with_bias(part, from_bfloat16(bias))
        for part, bias in zip(dense, weights.dense_bias, strict=True)
    }
    return {
        _matmul("_bias"): contract.rounded(biased),
        _matmul("_swiglu_gather"): contract.rounded(contract.swiglu(biased)),
        f"{ops.ROUTE[0]} (experts)": chosen,
        f"{ops.ROUTE[0]} (shares)": shares,
        f"{ops.SORT[0]} (starts)": starts,
        f"{ops.SORT[0]} (counters)": counters,
        f"{ops.SORT[0]} (sources)": sources,
        f"{ops.SORT[0]} (places)": places,
        **with_bias,
        ops.DENSE_FLOAT32[0]: dense[0],
        ops.COMBINE[0]: contract.combine(
            from_bfloat16(tokens.made), tokens.places, tokens.shares
        ),
    }


def _with_bias(product: Answer, bias: np.ndarray) -> Answer:
    """Returns what the dense matmul must return, of its product in float32.

    What MAX's adds the bias with is given a product that is rounded already.
    """
    tiled = TILED if len(product.want) >= TILED and len(bias) != OUT_FEATURES else 0
    bound = np.array(product.bound)
    bound[:tiled] = contract.rounded(product).bound[:tiled]
    return contract.rounded(contract.add(Answer(product.want, bound), bias))


def graph(devices: Sequence[DeviceRef]) -> Graph:
    """Returns the graph, each op once for each device.

    It is given the blocks and scales on the host, then for each device what `_inputs`
    returns. The results come, for each device, in the order of `answers` and then the
    packed weights, and at last those of the host, which must be the same.
    """
    each = _types(devices[0])
    host = [TensorType(kind.dtype, kind.shape, DeviceRef.CPU()) for kind in each[:2]]
    types = [kind for device in devices for kind in _types(device)]
    with Graph(
        "mxfp4_self_check",
        input_types=host + types,
        custom_extensions=guard.require_package(),
    ) as built:
        host_blocks, host_scales, *values = (value.tensor for value in built.inputs)
        results = []
        for start in range(0, len(values), len(each)):
            results += _results(values[start : start + len(each)])
        built.output(*results, ops.pack(host_blocks, host_scales))
    return built


def _types(device: DeviceRef) -> list[TensorType]:
    """Returns what a device is given."""
    half, byte, number = DType.bfloat16, DType.uint8, DType.uint32
    projection = EXPERTS, OUT_FEATURES
    return [
        TensorType(byte, (*projection, FEATURES // 2), device),
        TensorType(byte, (*projection, FEATURES // ops.GROUP), device),
        TensorType(half, projection, device),
        TensorType(half, (EXPERTS, FEATURES), device),
        TensorType(half, (EXPERTS,), device),
        *(TensorType(half, (rows, FEATURES), device) for rows in DENSE_FEATURES),
        *(TensorType(half, (rows,), device) for rows in DENSE_FEATURES),
        TensorType(half, ("tokens", FEATURES), device),
        TensorType(half, ("rows", FEATURES), device),
        TensorType(half, ("tokens", FEATURES), device),
        TensorType(DType.int32, ("tokens", TOP), device),
        TensorType(number, (EXPERTS + 1,), device),
        TensorType(number, (ops.COUNTERS,), device),
        TensorType(DType.int32, (EXPERTS,), device),
        TensorType(number, ("rows",), device),
        TensorType(number, ("tokens", TOP), device),
        TensorType(DType.float32, ("tokens", TOP), device),
        TensorType(half, ("rows", OUT_FEATURES), device),
    ]


def _results(values: Sequence[TensorValue]) -> list[TensorValue]:
    """Returns what a device makes of that."""
    blocks, scales, bias, router, router_bias, *rest = values
    kinds = len(DENSE_FEATURES)
    dense, dense_bias = rest[:kinds], rest[kinds : 2 * kinds]
    hidden, grouped, routed, chosen, *rest = rest[2 * kinds :]
    starts, counters, ids, sources, places, shares, made = rest
    packed = ops.pack(blocks, scales)
    experts = {"out_features": OUT_FEATURES, "bias": bias, "counters": counters}
    return [
        ops.grouped_mxfp4_matmul(grouped, packed, starts, ids, **experts),
        ops.grouped_mxfp4_matmul(
            hidden, packed, starts, ids, swiglu=True, sources=sources, **experts
        ),
        *ops.route(routed, router, router_bias, TOP),
        *ops.sort_rows(chosen, EXPERTS),
        *(ops.dense(hidden, *part) for part in zip(dense, dense_bias, strict=True)),
        ops.dense_float32(hidden, dense[0]),
        ops.combine(made, places, shares),
        packed,
    ]


def _inputs(weights: Weights, tokens: Tokens) -> list[np.ndarray]:
    """Returns what each device is given, in the order of the graph's inputs."""
    arrays: list[np.ndarray] = []
    for value in (*vars(weights).values(), *vars(tokens).values()):
        arrays += value if isinstance(value, tuple) else (value,)
    return arrays


def _run(
    model: Model, devices: Sequence[Device], inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    buffers = [_buffer(array) for array in inputs]
    # The first two are those that the host packs.
    given = buffers[:2]
    for device in devices:
        given += [buffer.to(device) for buffer in buffers]
    return [_array(result) for result in model.execute(*given)]


def _buffer(array: np.ndarray) -> Buffer:
    buffer = Buffer.from_numpy(np.ascontiguousarray(array))
    # All of 16 bits are bfloat16.
    is_half = array.dtype == np.uint16
    return buffer.view(DType.bfloat16, array.shape) if is_half else buffer


def _array(buffer: Buffer) -> np.ndarray:
    host = buffer.to(CPU())
    if host.dtype != DType.bfloat16:
        return host.to_numpy()
    return from_bfloat16(host.view(DType.uint16, host.shape).to_numpy())


def dense_name(features: int) -> str:
    """Returns what the check calls the dense matmul with so many output features."""
    return f"{ops.DENSE[0]} ({features} features)"


def _matmul(variant: str) -> str:
    return ops.matmul_names(variant)[-1]
