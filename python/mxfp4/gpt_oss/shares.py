"""How a model is divided among several GPUs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from max.dtype import DType
from max.graph import (
    BufferValue,
    DeviceRef,
    ShardingStrategy,
    TensorValue,
    Weight,
    ops,
)
from transformers import AutoConfig

from mxfp4.kernels.ops import GROUP


def shares(features: int, devices: int) -> list[range]:
    """Divides features into consecutive shares of whole scale groups.

    Shares differ by one group at most, the first ones being the larger.

    Args:
        features: How many there are, a multiple of `GROUP`.
        devices: How many shares to make.
    """
    groups, rest = divmod(features, GROUP)
    if rest or groups < devices:
        raise ValueError(
            f"{features} features cannot be divided among {devices} GPU(s) in whole "
            f"groups of {GROUP}; use fewer GPUs"
        )
    bounds = [0]
    for rank in range(devices):
        size = groups // devices + (rank < groups % devices)
        bounds.append(bounds[-1] + size * GROUP)
    return [range(*pair) for pair in itertools.pairwise(bounds)]


def check_division(config: AutoConfig, devices: int) -> None:
    """Refuses a number of GPUs among which a model cannot be divided."""
    heads = config.num_key_value_heads
    if heads % devices:
        fitting = [str(count) for count in range(1, heads + 1) if heads % count == 0]
        raise ValueError(
            f"the model's {heads} key-value heads cannot be divided among {devices} "
            f"GPUs; choose as many with --devices as one of {', '.join(fitting)}"
        )
    shares(config.intermediate_size, devices)


def spread(
    weight: Weight, strategy: ShardingStrategy, devices: Sequence[DeviceRef]
) -> list[Weight]:
    """Returns what each device holds of a weight. One alone holds it as it is."""
    if len(devices) == 1:
        return [weight]
    weight.sharding_strategy = strategy
    return weight.shard(devices)


def slices(axis: int, parts: Sequence[range]) -> ShardingStrategy:
    """A strategy that gives each device its part of an axis."""

    def cut(weight: Weight, rank: int, devices: int) -> TensorValue:
        part = slice(parts[rank].start, parts[rank].stop)
        return weight[(*[slice(None)] * axis, part)]

    return ShardingStrategy(len(parts), cut)


def first_alone(devices: int) -> ShardingStrategy:
    """A strategy for what sums over all devices may contain once.

    The first device holds the weight, the others zeros.
    """

    def keep(weight: Weight, rank: int, devices: int) -> TensorValue:
        if rank == 0:
            return weight[:]
        zero = ops.constant(0, DType.bfloat16, device=weight.device)
        return ops.broadcast_to(zero, weight.shape)

    return ShardingStrategy(devices, keep)


def to_all(
    value: TensorValue, signal_buffers: Sequence[BufferValue]
) -> list[TensorValue]:
    """Returns a value as each device has it, of which one has it already."""
    if len(signal_buffers) == 1:
        return [value]
    return ops.distributed_broadcast(value, signal_buffers)
