"""The reference of `mxfp4.parity` beside transformers' own run of the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="skipped: needs torch")

import torch
from transformers import GptOssForCausalLM, Mxfp4Config

from mxfp4 import parity
from mxfp4.parity_reference import QUERIES, Reference, Spoil, dequantize
from reference import dequantize as exact

# Longer than the sliding window of 128, and than what attends at a time.
LENGTH = QUERIES + 60


@pytest.fixture(scope="module")
def samples() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    lengths = (LENGTH, 10, LENGTH)
    return [
        torch.randint(0, 990, (length,), generator=generator).tolist()
        for length in lengths
    ]


@torch.no_grad()
def logprobs(model: GptOssForCausalLM, sample: list[int]) -> torch.Tensor:
    return model(torch.tensor([sample])).logits[0].double().log_softmax(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("keep", [True, False])
def test_it_computes_what_transformers_does(
    checkpoint_folder: Path,
    samples: list[list[int]],
    dtype: torch.dtype,
    keep: bool,
) -> None:
    model = GptOssForCausalLM.from_pretrained(
        checkpoint_folder,
        quantization_config=Mxfp4Config(dequantize=True),
        dtype=dtype,
        attn_implementation="eager",
        experts_implementation="eager",
    )
    if dtype == torch.float32:
        # Dequantized experts come in bfloat16, whatever is asked for.
        model.float()
    reference = Reference(checkpoint_folder, "cpu", dtype, keep=keep)
    prompts, answers = [s[:-4] for s in samples], [s[-4:] for s in samples]
    # The last token is not run: what follows it is not asked for.
    found = reference.score(prompts, answers)
    bound = 1e-4 if dtype == torch.float32 else 0.1
    for sample, (rows, margins) in zip(samples, found, strict=True):
        want = logprobs(model, sample[:-1])[-4:]
        assert rows.shape == want.shape == (4, 1024)
        assert (rows - want).abs().max() < bound
        assert len(margins) == 4 and all(margin >= 0 for margin in margins)


def test_a_spoiled_one_differs(
    checkpoint_folder: Path, samples: list[list[int]]
) -> None:
    prompts, answers = [samples[1][:-4]], [samples[1][-4:]]
    ((sound, _),) = Reference(checkpoint_folder, "cpu").score(prompts, answers)
    for spoil in (Spoil(zero=True), Spoil(swap=(1, 3))):
        reference = Reference(checkpoint_folder, "cpu", keep=False, spoil=spoil)
        ((rows, _),) = reference.score(prompts, answers)
        assert (rows - sound).abs().max() > 0.01


def test_every_code_and_scale() -> None:
    blocks = torch.arange(256, dtype=torch.uint8).repeat(16).view(256, 1, 16)
    scales = torch.arange(256, dtype=torch.uint8).view(256, 1)
    found = dequantize(blocks, scales).double().numpy()
    want = exact(blocks.view(256, 16).numpy(), scales.numpy())
    assert ((found == want) | ((found != found) & (want != want))).all()


def record(folder: Path, file: Path, dtype: torch.dtype) -> None:
    """Records what a server would say that computes in `dtype`, and is greedy."""
    # No token that is likely after these shares its text with another: such a text
    # would count as the token that agrees best.
    prompts = [[785, 2, 712, 456, 272], [26, 665, 554]]
    answers: list[list[int]] = [[], []]
    reference = Reference(folder, "cpu", dtype)
    for _ in range(2):
        # What stands last is asked for, and not read.
        scores = reference.score(prompts, [[*answer, 0] for answer in answers])
        for answer, (rows, _) in zip(answers, scores, strict=True):
            answer.append(int(rows[-1].argmax()))
    scores = reference.score(prompts, answers)
    texts = {
        token: text
        for text, tokens in parity.texts_to_ids(folder).items()
        for token in tokens
    }
    file.write_text(
        json.dumps(
            {
                "prompts": prompts,
                "answers": [
                    {
                        "prompt": prompt,
                        "tokens": answer,
                        "token_logprobs": [
                            float(row[token])
                            for row, token in zip(rows, answer, strict=True)
                        ],
                        "top_logprobs": [
                            {
                                texts[token]: float(row[token])
                                for token in parity.likeliest(row)
                            }
                            for row in rows
                        ],
                    }
                    for prompt, answer, (rows, _) in zip(
                        prompts, answers, scores, strict=True
                    )
                ],
            }
        )
    )


def test_errors_are_judged_by_those_of_bfloat16(
    checkpoint_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    compare = ["--checkpoint", str(checkpoint_folder), "--only", "compare"]
    compare += ["--record", str(file), "--ratio", "1.5", "--stream"]
    # A GPU rounds bfloat16 at other places than what was recorded.
    compare += ["--device", "cpu"]
    record(checkpoint_folder, file, torch.bfloat16)
    assert parity.main(compare) == 0
    out = capsys.readouterr().out
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "prompts of 3 tokens",
        "prompts of 5 tokens",
        "the served model agrees with the reference",
    ]
    assert out.count("ratio 1.00 (at most 1.5)") == 2
    assert parity.main([*compare, "--zero-experts"]) == 1
    assert "differs from the reference" in capsys.readouterr().out
