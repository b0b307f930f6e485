"""The checkpoint writer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from mxfp4 import checkpoint


def tensors(folder: Path) -> dict[str, tuple[list[int], str]]:
    found = {}
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for name, file in index["weight_map"].items():
        with safe_open(folder / file, "np") as handle:
            entry = handle.get_slice(name)
            found[name] = (entry.get_shape(), entry.get_dtype())
    return found


def test_layout(checkpoint_folder: Path) -> None:
    found = tensors(checkpoint_folder)
    assert len(found) == 3 + 2 * 19
    experts = "model.layers.1.mlp.experts."
    assert found[f"{experts}gate_up_proj_blocks"] == ([8, 512, 8, 16], "U8")
    assert found[f"{experts}gate_up_proj_scales"] == ([8, 512, 8], "U8")
    assert found[f"{experts}gate_up_proj_bias"] == ([8, 512], "BF16")
    assert found[f"{experts}down_proj_blocks"] == ([8, 256, 8, 16], "U8")
    assert found[f"{experts}down_proj_scales"] == ([8, 256, 8], "U8")
    assert found[f"{experts}down_proj_bias"] == ([8, 256], "BF16")
    assert found["model.layers.0.self_attn.sinks"] == ([4], "BF16")
    assert found["lm_head.weight"] == ([1024, 256], "BF16")


def test_20b_shapes() -> None:
    files = checkpoint.shards(checkpoint.SIZES["20b"])
    assert len(files) == 25
    shapes = {tensor.name: tensor.shape for file in files for tensor in file}
    experts = "model.layers.23.mlp.experts."
    assert shapes[f"{experts}gate_up_proj_blocks"] == (32, 5760, 90, 16)
    assert shapes[f"{experts}down_proj_scales"] == (32, 2880, 90)
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == (512, 2880)
    assert shapes["model.embed_tokens.weight"] == (201088, 2880)


def test_values(checkpoint_folder: Path) -> None:
    file = checkpoint_folder / "model-00001-of-00002.safetensors"
    stem = "model.layers.0.mlp.experts.gate_up_proj"
    with safe_open(file, "np") as handle:
        blocks = handle.get_tensor(f"{stem}_blocks")
        scales = handle.get_tensor(f"{stem}_scales")
    codes = np.unique(np.concatenate((blocks & 15, blocks >> 4)))
    assert codes.tolist() == list(range(16))
    assert np.unique(scales).tolist() == [119, 120, 121]


def test_the_seed_decides_the_bytes(tmp_path: Path) -> None:
    def digest(folder: str, seed: int) -> str:
        checkpoint.write(tmp_path / folder, checkpoint.SIZES["tiny"], seed)
        file = tmp_path / folder / "model-00002-of-00002.safetensors"
        return hashlib.sha256(file.read_bytes()).hexdigest()

    assert digest("a", 1) == digest("b", 1) != digest("c", 2)


def test_every_token_decodes_and_text_survives(checkpoint_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint_folder)
    assert len(tokenizer) == 1024
    assert all(tokenizer.decode([token]) for token in range(len(tokenizer)))
    text = "Grüße, 世界!\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|start|>user<|message|>hi<|end|><|start|>assistant"
    assert (
        tokenizer.eos_token_id
        == checkpoint.config(checkpoint.SIZES["tiny"])["eos_token_id"]
    )


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoint.main([str(tmp_path / "out"), "--layers", "3"]) == 0
    assert "3 layers" in capsys.readouterr().out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == len(config["layer_types"]) == 3


def test_a_sparse_one_differs_in_values_alone(
    tmp_path: Path, checkpoint_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint.main([str(tmp_path), "--sparse"]) == 0
    assert "2 layers" in capsys.readouterr().out
    assert tensors(tmp_path) == tensors(checkpoint_folder)
    names = {file.name for file in checkpoint_folder.iterdir()}
    assert {file.name for file in tmp_path.iterdir()} == names
    for file in tmp_path.glob("*.safetensors"):
        whole = (checkpoint_folder / file.name).stat()
        # Up to a few pages, and the order and spacing of the headers.
        assert abs(file.stat().st_size - whole.st_size) < 4096
        assert file.stat().st_blocks * 512 < 65536 < whole.st_size
        content = file.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        assert header % 8 == 0 and not any(content[header:])


def test_an_unwritable_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert checkpoint.main([str(tmp_path / "file" / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: cannot write the checkpoint")
