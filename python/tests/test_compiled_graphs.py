"""Compiled graphs that are taken from a folder, with MAX's real compiler on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType

from mxfp4.kernels import guard
from mxfp4.max_patches import compiled_graphs, registry
from mxfp4.max_patches.compiled_graphs import CompiledGraphs, file_name

X = TensorType(DType.float32, (2,), DeviceRef.CPU())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel package, of which only the bytes matter here."""
    path = tmp_path / "kernels.mojoc"
    path.write_bytes(b"kernels")
    monkeypatch.setattr(guard, "require_package", lambda: (path,))
    return path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test put another store into place."""
    registry.undo("compiled_graphs")
    yield monkeypatch
    registry.undo("compiled_graphs")


def use_store() -> None:
    assert registry.apply("compiled_graphs").kind is registry.Kind.APPLIES


def graph(addend: float) -> Graph:
    """Adds a number to what comes in."""
    with Graph("a graph", input_types=(X,)) as made:
        made.output(made.inputs[0].tensor + addend)
    return made


def answer(addend: float) -> list[float]:
    """Compiles the graph, or takes it compiled, and runs it with 1 and 2."""
    model = InferenceSession(devices=[CPU()]).load(graph(addend))
    (out,) = model.execute(Buffer.from_numpy(np.array([1, 2], np.float32)))
    return list(out.to_numpy())


def test_a_graph_is_taken_from_the_folder_that_has_it(
    package: Path, store: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "graphs"
    store.setenv(compiled_graphs.EXPORT, str(folder))
    use_store()
    assert answer(1) == [2, 3]
    (file,) = folder.iterdir()
    assert file.name == file_name(graph(1))

    registry.undo("compiled_graphs")
    store.delenv(compiled_graphs.EXPORT)
    store.setenv(compiled_graphs.IMPORT, str(folder))
    use_store()
    # The other one's file in its place shows that none is compiled.
    file.rename(folder / file_name(graph(5)))
    assert answer(5) == [2, 3]
    # What has no file is compiled, and not written.
    assert answer(7) == [8, 9]
    assert len(list(folder.iterdir())) == 1


def test_a_name_depends_on_the_graph_and_on_the_bytes_of_the_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = file_name(graph(1))
    assert name == file_name(graph(1))
    assert name.startswith("a_graph-") and name.endswith(".mef")
    assert name != file_name(graph(2))

    elsewhere = tmp_path / "elsewhere.mojoc"
    elsewhere.write_bytes(package.read_bytes())
    monkeypatch.setattr(guard, "require_package", lambda: (elsewhere,))
    assert name == file_name(graph(1))
    elsewhere.write_bytes(b"other kernels")
    assert name != file_name(graph(1))


def test_half_a_file_is_not_taken(package: Path, tmp_path: Path) -> None:
    writing = CompiledGraphs.writing(tmp_path / "graphs")
    path = writing.claim_export(graph(1))
    path.write_bytes(b"half")
    reading = CompiledGraphs.reading(tmp_path / "graphs")
    assert reading.claim_import(graph(1)) is None
    # Nor when another process, or this one later, writes a graph.
    later = CompiledGraphs.writing(tmp_path / "graphs")
    later.claim_export(graph(2)).write_bytes(b"whole")
    later.write_manifest()
    assert reading.claim_import(graph(1)) is None
    assert reading.claim_import(graph(2)) is not None
    writing.write_manifest()
    taken = reading.claim_import(graph(1))
    assert taken is not None and not path.exists()
    assert taken.read_bytes() == b"half"


def test_nothing_changes_where_no_folder_is_named(store: pytest.MonkeyPatch) -> None:
    store.delenv(compiled_graphs.EXPORT, raising=False)
    store.delenv(compiled_graphs.IMPORT, raising=False)
    use_store()
    assert InferenceSession.default_mef_store is None
