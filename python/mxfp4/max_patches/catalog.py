"""Every patch: what it costs to be without, where it is for, what it depends on.

Whether a patch can be had is known from here even where its module cannot be imported,
because MAX lacks something that it names.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAN = "MXFP4_LEAN_WORKER"
"""Environment variable that leaves the worker's steps to MAX with `0`."""


@dataclass(frozen=True)
class Feature:
    """Patches of one module, which belong together."""

    name: str
    """Its module in `mxfp4.max_patches`."""
    without: str
    """What it costs to be without: a clause that follows "without it"."""
    worker_only: bool = False
    """For processes that another one of the server started."""
    exact: bool = False
    """It follows more of MAX than what it replaces: another version is left alone."""
    needed: bool = False
    """Answers would be wrong without: nothing is served then."""
    needs: tuple[str, ...] = ()
    """Others that it is of no use without."""
    variable: str | None = None
    """Environment variable that turns it off with `0`."""


# In the order in which they are applied: the later one wraps the earlier one's.
FEATURES = (
    Feature(
        "health",
        "the counts of broken logits would be written over what GPUs signal each other",
        needed=True,
    ),
    Feature(
        "request_state",
        "each step of the model's worker takes longer, the more so the more requests",
        worker_only=True,
        exact=True,
        variable=LEAN,
    ),
    Feature(
        "pages",
        "each step looks for pages of the KV cache for every request",
        worker_only=True,
        exact=True,
        variable=LEAN,
    ),
    Feature(
        "decode_steps",
        "each step treats one request after the other, and large batches are slower",
        worker_only=True,
        exact=True,
        needs=("pages",),
        variable=LEAN,
    ),
    Feature("compiled_graphs", "graphs of a bundle are compiled again at each start"),
    Feature(
        "graph_sizes",
        "steps of more than 128 requests are launched kernel by kernel",
        worker_only=True,
        exact=True,
    ),
    Feature(
        "log_probabilities",
        "requests for log-probabilities are refused where steps overlap, and elsewhere "
        "those for more than 7",
    ),
    Feature("sampler", "the sampler copies all logits at each step"),
    Feature(
        "masks",
        "requests with a grammar, as of a forced call or of JSON, are refused",
        worker_only=True,
        exact=True,
    ),
    Feature(
        "bounds",
        "requests with thinking_token_budget are refused, and JSON may go on with "
        "whitespace up to max_tokens",
    ),
)

LEAN_FEATURES = [feature.name for feature in FEATURES if feature.variable == LEAN]
"""What makes a step cost the model's worker less."""
