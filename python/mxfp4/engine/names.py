"""What of MAX the engine uses that another version may have moved."""

from __future__ import annotations

import dataclasses
import importlib
from importlib.metadata import version
from importlib.util import find_spec

SERVE = "max._entrypoints.cli.serve.serve_api_and_model_worker"
"""The module that runs MAX's server."""

NAMES = {
    SERVE: ("Server", "lifespan", "validate_port_is_free"),
    "max.pipelines.context": (
        "GenerationStatus.END_OF_SEQUENCE",
        "GenerationStatus.MAXIMUM_LENGTH",
        "GenerationStatus.CANCELLED",
        "SamplingParams.from_input_and_generation_config",
    ),
    "max.pipelines.context.exceptions": ("InputError",),
    "max.pipelines.lib.log_probabilities": ("_MAX_TOP_LOGPROBS",),
    "max.pipelines.lib.pipeline_variants.overlap_text_generation": (
        "OverlapTextGenerationPipeline._execute",
    ),
    "max.pipelines.lib.pipeline_variants.structured_output_backend": (
        "XgrammarBackend.create_matcher",
        "make_grammar_backend",
    ),
    "max.serve.telemetry.metrics": (
        "METRICS.input_tokens",
        "METRICS.output_tokens",
        "METRICS.reqs_running",
    ),
    "max.serve.worker_interface._zmq_queue": (
        "ZmqAsyncPullSocket.get",
        "ZmqAsyncPushSocket.put",
        "ZmqAsyncPushSocket.writable",
    ),
    "max.serve.worker_interface.zmq_interface": (
        "ZmqModelWorkerProxy.cancel",
        "ZmqModelWorkerProxy.response_worker",
    ),
}
"""Modules, and what of each is used."""

FIELDS = {
    "max.pipelines.context.SamplingParamsInput": (
        *("max_new_tokens", "min_new_tokens", "ignore_eos", "temperature", "top_p"),
        *("top_k", "min_p", "seed", "frequency_penalty", "presence_penalty"),
        *("repetition_penalty", "stop_token_ids", "thinking_temperature"),
    ),
    "max.pipelines.context.TextContext": (
        *("eos_tracker", "grammar", "grammar_state", "request_id", "tokens"),
        "vocab_size",
    ),
    "max.pipelines.context.TextGenerationOutput": (
        *("tokens", "final_status", "log_probabilities", "num_cached_tokens"),
    ),
    "max.pipelines.context.LogProbabilities": (
        *("sampled_token_ids", "token_log_probabilities", "top_log_probabilities"),
    ),
    "max.pipelines.modeling.types.RequestID": ("value",),
    "max.pipelines.modeling.types.TextGenerationRequest": (
        *("request_id", "model_name", "prompt", "sampling_params", "logprobs"),
        "response_format",
    ),
    "max.serve.scheduler_result.SchedulerResult": ("is_done", "result", "error"),
}
"""Types, and which of their fields are used."""

PROXY = ("request_queue", "response_queue", "_admission_lock")
"""What a proxy of the model worker must have."""


class MovedError(Exception):
    """MAX lacks something that the engine uses."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"MAX {version('max')} has no {name}, which the engine's socket needs; "
            "use --frontend max"
        )


def check_module() -> None:
    """Looks for the module of MAX's server without loading it."""
    folder, _, _ = SERVE.partition(".cli.")
    spec = find_spec(folder)
    places = spec.submodule_search_locations if spec else None
    *parents, name = SERVE.removeprefix(f"{folder}.").split(".")
    for parent in parents:
        places = [f"{place}/{parent}" for place in places or ()]
    from importlib.machinery import PathFinder

    if PathFinder.find_spec(name, list(places or ())) is None:
        raise MovedError(SERVE)


def check() -> None:
    """Looks for all of it; raises `MovedError` for the first that is not there."""
    for module, names in NAMES.items():
        for name in names:
            find(f"{module}.{name}", module, name.split("."))
    for path, fields in FIELDS.items():
        module, _, name = path.rpartition(".")
        kind = find(path, module, [name])
        known = getattr(kind, "__struct_fields__", None)
        if known is None:
            known = [field.name for field in dataclasses.fields(kind)]
        for field in fields:
            if field not in known:
                raise MovedError(f"{path}.{field}")


def find(path: str, module: str, names: list[str]) -> object:
    """Returns what `path` names."""
    try:
        found: object = importlib.import_module(module)
        for name in names:
            found = getattr(found, name)
    except (ImportError, AttributeError):
        raise MovedError(path) from None
    return found


def check_proxy(proxy: object) -> None:
    """Looks at the proxy of a model worker that was started."""
    for name in PROXY:
        if not hasattr(proxy, name):
            raise MovedError(f"ZmqModelWorkerProxy.{name}")
