"""What replaces functions of MAX: only where the source is the one that is known."""

from __future__ import annotations

import inspect
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from front_end import FrontEnd
from mxfp4.max_patches import patch, registry
from mxfp4.max_patches.__main__ import main
from mxfp4.max_patches.catalog import FEATURES
from mxfp4.max_patches.registry import Kind, State

NAMES = [feature.name for feature in FEATURES]

SKIPPED = "is served without the patch"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Each test begins with MAX's own functions, and leaves what it found."""
    applied = [name for name in NAMES if registry.is_applied(name)]
    registry.undo()
    yield
    registry.undo()
    for name in applied:
        registry.apply(name)


def standing(name: str) -> list[Any]:
    return [
        inspect.getattr_static(each.owner, each.name)
        for each in registry.patches_of(name)
    ]


def comment(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Has a function's source be read with a comment more."""
    read, altered = patch.source, inspect.getattr_static(owner, name)

    def source(found: Any, owner: Any) -> str:
        return read(found, owner) + "# A comment.\n" * (found is altered)

    monkeypatch.setattr(patch, "source", source)


@pytest.mark.parametrize("name", NAMES)
def test_this_max_gets_each_patch_and_loses_it_again(name: str) -> None:
    before = standing(name)
    assert registry.state(name) == State(Kind.APPLIES)
    assert not registry.is_applied(name)
    assert registry.apply(name) == State(Kind.APPLIES)
    assert registry.is_applied(name)
    after = standing(name)
    if name != "compiled_graphs":
        # That one depends on the environment.
        assert all(a is not b for a, b in zip(before, after, strict=True))
    assert registry.apply(name) == State(Kind.APPLIES)
    assert all(a is b for a, b in zip(after, standing(name), strict=True))
    # What it replaces is still compared, not what it put there.
    assert registry.state(name) == State(Kind.APPLIES)
    registry.undo()
    assert all(a is b for a, b in zip(before, standing(name), strict=True))


def test_one_is_taken_back_from_under_another() -> None:
    registry.apply("pages")
    registry.apply("decode_steps")
    [theirs] = [p for p in registry.patches_of("decode_steps") if p.name == "_execute"]
    alone = standing("log_probabilities")
    registry.apply("log_probabilities")
    registry.undo("decode_steps")
    assert registry.is_applied("log_probabilities")
    assert not registry.is_applied("decode_steps")
    assert "log_probabilities" in getattr(theirs.owner, theirs.name).__module__
    registry.undo()
    assert alone != standing("log_probabilities")


@pytest.mark.parametrize("name", NAMES)
def test_a_patch_names_functions_by_their_source(name: str) -> None:
    patches = registry.patches_of(name)
    assert patches
    hashes = {each.source_hash for each in patches}
    assert len(hashes) == len(patches) and all(map(bool, hashes))


@pytest.mark.parametrize(
    ("name", "index"),
    [(n, i) for n in NAMES for i in range(len(registry.patches_of(n)))],
)
def test_a_comment_leaves_all_of_a_patch_out(
    name: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = registry.patches_of(name)[index]
    found = inspect.getattr_static(each.owner, each.name)
    read = each.__class__.digest

    def digest(self: Any, what: Any) -> str:
        return "another" if self is each and what is found else read(self, what)

    monkeypatch.setattr(patch.Patch, "digest", digest)
    before = standing(name)
    assert registry.apply(name) == State(Kind.SOURCE, str(each))
    assert not registry.is_applied(name)
    assert all(a is b for a, b in zip(before, standing(name), strict=True))


def test_a_changed_comment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    each = registry.patches_of("pages")[0]
    comment(monkeypatch, each.owner, each.name)
    assert registry.state("pages") == State(Kind.SOURCE, "JengaBlockManager.alloc")
    assert registry.state("decode_steps") == State(Kind.NEEDS, "pages")
    assert registry.state("request_state") == State(Kind.APPLIES)


def test_what_max_lacks_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = registry.patches_of("decode_steps")
    # Of a module: a class may have another one of that name above it.
    [each] = [each for each in patches if each.name == "_build_min_tokens_masks"]
    monkeypatch.delattr(each.owner, each.name)
    assert registry.state("decode_steps") == State(Kind.LACKS, str(each))
    # Where the module itself cannot be imported.
    monkeypatch.setitem(sys.modules, "mxfp4.max_patches.masks", None)
    assert registry.apply("masks").kind is Kind.LACKS


def test_a_line_names_what_is_skipped_and_what_it_costs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    each = registry.patches_of("pages")[0]
    comment(monkeypatch, each.owner, each.name)
    with caplog.at_level(logging.WARNING):
        registry.install()
    [line] = [r.getMessage() for r in caplog.records if SKIPPED in r.getMessage()]
    assert line == (
        f"MAX {version('max')} is served without the patch pages, because the source "
        "of JengaBlockManager.alloc is not that of 26.7.0; without it each step looks "
        "for pages of the KV cache for every request; decode_steps goes with it: each "
        "step treats one request after the other, and large batches are slower."
    )
    assert registry.is_applied("health") and registry.is_applied("bounds")


@pytest.mark.parametrize("is_worker", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_process_gets_what_is_for_it(
    is_worker: bool,
    is_known: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(
        multiprocessing, "parent_process", lambda: 1 if is_worker else None
    )
    if not is_known:
        monkeypatch.setattr(registry, "version", lambda _: "0")
    monkeypatch.setattr(registry, "look_for_garbage_less", lambda: None)
    with caplog.at_level(logging.WARNING):
        registry.install()
    for feature in FEATURES:
        wanted = (is_worker or not feature.worker_only) and (
            is_known or not feature.exact
        )
        assert registry.is_applied(feature.name) is wanted, feature.name
    lines = [r.getMessage() for r in caplog.records if SKIPPED in r.getMessage()]
    exact = [feature for feature in FEATURES if feature.exact]
    # The worker leaves it to the process that started it to say so.
    assert len(lines) == (0 if is_known or is_worker else len(exact))


def test_a_patch_that_answers_need_is_never_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [feature.name for feature in FEATURES if feature.needed] == ["health"]
    monkeypatch.setattr(patch.Patch, "digest", lambda *_: "another")
    with pytest.raises(registry.RefusedError, match="the patch health does not apply"):
        registry.install()


def test_it_is_turned_off_without_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MXFP4_LEAN_WORKER", "0")
    assert registry.state("pages") == State(Kind.OFF, "MXFP4_LEAN_WORKER=0")
    registry.install()
    assert not [r for r in caplog.records if SKIPPED in r.getMessage()]


def test_the_list_says_what_applies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    each = registry.patches_of("sampler")[0]
    comment(monkeypatch, each.owner, each.name)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == NAMES
    assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["max"] == version("max")
    rows = {row["name"]: row for row in found["patches"]}
    assert list(rows) == NAMES
    assert rows.pop("sampler")["state"] == "source"
    assert {row["state"] for row in rows.values()} == {"applies"}
    monkeypatch.setattr(patch.Patch, "digest", lambda *_: "another")
    assert main([]) == 1


def test_importing_the_model_changes_nothing() -> None:
    program = """
        import pkgutil, importlib
        from mxfp4 import gpt_oss, max_patches
        from mxfp4.max_patches import registry
        for package in gpt_oss, max_patches:
            for module in pkgutil.iter_modules(package.__path__):
                if module.name != "__main__":
                    importlib.import_module(f"{package.__name__}.{module.name}")
        names = [feature.name for feature in registry.FEATURES]
        print([name for name in names if registry.is_applied(name)])
        gpt_oss.ARCHITECTURES
        print([name for name in names if registry.is_applied(name)])
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    said = subprocess.run(run, env=dict(os.environ), capture_output=True, text=True)
    everywhere = [feature.name for feature in FEATURES if not feature.worker_only]
    assert said.stdout.splitlines() == ["[]", str(everywhere)], said.stderr


COMMENTED = """
def commented(module):
    import pathlib
    text = pathlib.Path(module.__file__).read_text()
    before, head, after = text.partition(
        "    def alloc(self, ctx: TextContext) -> KVTransfer:\\n"
    )
    assert head
    path = pathlib.Path(__file__).with_name("commented.py")
    path.write_text(before + head + "        # A comment.\\n" + after)
    exec(compile(path.read_text(), path, "exec"), vars(module))


name = "max.pipelines.kv_cache.paged_kv_cache.jenga_block_manager"
CHANGES[name] = commented
"""


def test_a_max_with_a_comment_more_is_served(
    tmp_path: Path, checkpoint_folder: Path, kernel_package: Path
) -> None:
    started = FrontEnd(tmp_path, checkpoint_folder, kernel_package, COMMENTED)
    with started as running:
        hello = running.ready()
        assert hello["protocol"]
        assert running.answer([5, 6, 7], max_tokens=2)["tokens"]
        lines = [line for line in running.log().splitlines() if SKIPPED in line]
    assert len(lines) == 1, lines
    assert "the patch pages" in lines[0]
    assert "JengaBlockManager.alloc" in lines[0]
