"""What loading costs the host: each weight is read once, and hardly any copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.graph.weights import SafetensorWeights

from mxfp4 import checkpoint
from mxfp4.gpt_oss import packing
from mxfp4.gpt_oss.packing import pack_experts
from mxfp4.gpt_oss.weight_adapter import convert_safetensor_state_dict

SIZE = checkpoint.Size(1024, 1024, 32, 3, 4, 2, 1024, special=1000)
LAYER = 32 * 3 * 1024 * 1024 * 17 // 32


def anonymous_memory() -> int:
    """Returns what this process holds beside the files that it mapped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("/proc/self/status has no RssAnon")


class Reader:
    """Takes the packer's place: reads its inputs as a copy to a GPU does."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self.bytes = self.sum = 0
        self.memory: list[int] = []

    def execute(self, *inputs: Buffer) -> list[Buffer]:
        for value in inputs:
            array = value.to_numpy()
            self.bytes += array.nbytes
            self.sum += int(array.sum(dtype=np.int64))
        self.memory.append(anonymous_memory())
        return [Buffer.from_numpy(np.zeros(1, np.uint8))] * self.devices


@pytest.fixture(scope="module")
def large_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    checkpoint.write(folder, SIZE)
    return folder


@pytest.mark.parametrize(("devices", "layers"), [(1, 0.1), (2, 1.0), (3, 1.0)], ids=str)
def test_host_memory_while_loading(
    large_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: int,
    layers: float,
) -> None:
    """One projection of a layer at a time for several GPUs, nothing for one."""
    reader = Reader(devices)
    monkeypatch.setattr(packing, "_load_packer", lambda *args: reader)
    files = sorted(large_checkpoint.glob("*.safetensors"))
    state = convert_safetensor_state_dict(dict(SafetensorWeights(files).items()))
    want = sum(
        int(np.from_dlpack(value.data).sum(dtype=np.int64))
        for name, value in state.items()
        if name.endswith((".blocks", ".scales"))
    )
    before = anonymous_memory()
    pack_experts(state, None, [CPU()] * devices)
    assert len(reader.memory) == 2 * SIZE.layers
    assert max(reader.memory) - before < layers * LAYER
    # Everything was read, and once.
    assert (reader.bytes, reader.sum) == (SIZE.layers * LAYER, want)
