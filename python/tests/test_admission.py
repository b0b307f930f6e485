"""What a request costs the HTTP process before it is sent to the model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from max.pipelines.context.exceptions import PromptTooLongError
from max.pipelines.lib import tokenizer as builtin
from max.pipelines.lib.config.model_config import MAXModelConfig

from mxfp4 import checkpoint
from mxfp4.gpt_oss import admission
from mxfp4.gpt_oss.harmony import HarmonyParser
from mxfp4.gpt_oss.tokenizer import SHORT, GptOssTokenizer
from test_harmony import PipelineTokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    checkpoint.write(folder, checkpoint.Size(256, 320, 8, 2, 16, 8, 1024, special=1000))
    return folder


def make(model: Path) -> GptOssTokenizer:
    return GptOssTokenizer(str(model), pipeline_config=None, max_length=2 * SHORT)


@pytest.mark.parametrize("special", [True, False])
def test_short_prompts_are_encoded_as_max_does_and_on_no_other_thread(
    model: Path, monkeypatch: pytest.MonkeyPatch, special: bool
) -> None:
    ours = make(model)
    builtin_encode = builtin.TextTokenizer.encode
    for prompt in ("", "hello", "a lone surrogate: \ud800", "x" * SHORT):
        want = asyncio.run(builtin_encode(ours, prompt, special))
        with monkeypatch.context() as patch:
            patch.setattr(builtin, "run_with_default_executor", None)
            got = asyncio.run(ours.encode(prompt, special))
        assert got.dtype == want.dtype or not len(want)
        np.testing.assert_array_equal(got, want)


def test_long_prompts_go_to_another_thread(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, long = make(model), "x" * (SHORT + 1)
    assert len(asyncio.run(ours.encode(long))) == SHORT + 1
    monkeypatch.setattr(builtin, "run_with_default_executor", None)
    with pytest.raises(TypeError):
        asyncio.run(ours.encode(long))


def test_a_prompt_over_the_limit_is_refused(model: Path) -> None:
    tokenizer = GptOssTokenizer(str(model), pipeline_config=None, max_length=8)
    with pytest.raises(PromptTooLongError):
        asyncio.run(tokenizer.encode("more than eight letters"))


@pytest.mark.parametrize("missing", [0, 1])
def test_the_format_s_tokens_are_looked_up_once(missing: int) -> None:
    tokenizer = PipelineTokenizer(special=HarmonyParser.FRAMING[missing:])
    first = asyncio.run(HarmonyParser.from_tokenizer(tokenizer))
    tokenizer.encode = None  # type: ignore[method-assign, assignment]
    assert asyncio.run(HarmonyParser.from_tokenizer(tokenizer)) is not first


def test_sampling_defaults_are_read_once_for_each_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What MAX works out is replaced by a new object each time."""
    monkeypatch.setattr(
        MAXModelConfig, admission.DEFAULTS, property(lambda self: [id(self)])
    )
    one, other = MAXModelConfig.model_construct(), MAXModelConfig.model_construct()
    assert one.sampling_params_defaults is not one.sampling_params_defaults
    admission.install()
    admission.install()
    assert one.sampling_params_defaults is one.sampling_params_defaults
    assert one.sampling_params_defaults == [id(one)]
    assert other.sampling_params_defaults == [id(other)]
