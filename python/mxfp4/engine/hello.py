"""What this side says of itself when the model is loaded."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from max.pipelines.lib import log_probabilities

from mxfp4.engine import wire
from mxfp4.max_patches import registry

LONGEST = (1 << 32) - 1
"""The most that the wire can say."""


def hello(tokenizer: Any, config: Any, memory_plan: Any) -> wire.Hello:
    """Returns what is said of a model as MAX has loaded it.

    Args:
        tokenizer: MAX's tokenizer of the model.
        config: MAX's configuration of the pipeline.
        memory_plan: What MAX found room for, or None.
    """
    planned = getattr(memory_plan, "planned_max_length", None)
    # A tokenizer without a limit names one that nothing reaches.
    longest = min(tokenizer.max_length, planned or LONGEST, LONGEST)
    return wire.Hello(
        protocol=wire.PROTOCOL,
        max_version=version("max"),
        model=config.models.model_name,
        max_length=longest,
        vocabulary=_vocabulary(tokenizer, config),
        end_tokens=sorted(tokenizer.eos_token_ids),
        max_batch=getattr(memory_plan, "planned_max_batch_size", None),
        penalties=config.sampling.enable_penalties,
        min_tokens=config.sampling.enable_min_tokens,
        max_logprobs=_max_logprobs(config),
        grammar=_has_masks(tokenizer, config),
    )


def _vocabulary(tokenizer: Any, config: Any) -> int:
    """The rows of the head; a model in several parts has its number further in."""
    found = config.model.huggingface_config
    for part in (found, getattr(found, "text_config", None)):
        rows = getattr(part, "vocab_size", None)
        if isinstance(rows, int):
            return rows
    return int(tokenizer.tokenizer_vocab_size)


def _has_masks(tokenizer: Any, config: Any) -> bool:
    """Whether the sampler is one that takes masks, which MAX compiles on demand."""
    if config.speculative is not None or not hasattr(tokenizer, "delegate"):
        return False
    # MAX's own masks let a request go on when its grammar has been left.
    if registry.state("masks").is_skipped:
        return False
    return bool(config.needs_bitmask_constraints)


def _max_logprobs(config: Any) -> int:
    """How many the model's worker survives."""
    if config.speculative is not None:
        return 0
    # MAX's overlap scheduler gives none.
    is_ours = registry.is_applied("log_probabilities")
    if config.runtime.enable_overlap_scheduler and not is_ours:
        return 0
    return int(log_probabilities._MAX_TOP_LOGPROBS)
