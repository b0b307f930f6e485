"""The guard says what is missing and how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mxfp4.kernels import custom_extensions, guard


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(custom_extensions.VARIABLE, raising=False)
    with pytest.raises(RuntimeError, match=r"no kernel package is loaded.*mxfp4 build"):
        guard.require_package()


def test_no_package_where_the_listed_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(custom_extensions.VARIABLE, str(tmp_path / "gone.mojoc"))
    with pytest.raises(RuntimeError, match="no kernel package is loaded"):
        guard.require_package()


def test_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mxfp4.mojoc"
    package.touch()
    monkeypatch.setenv(custom_extensions.VARIABLE, str(package))
    assert guard.require_package() == (package.resolve(),)


@pytest.mark.parametrize("architecture", ["sm_90", "sm_90a"])
def test_hopper(architecture: str) -> None:
    guard.require_hopper("cuda", architecture)


@pytest.mark.parametrize(
    ("api", "architecture"),
    [
        ("cuda", "sm_80"),
        ("cuda", "sm_89"),
        ("cuda", "sm_100a"),
        ("hip", "gfx942"),
        ("cpu", "cpu"),
    ],
)
def test_other_devices(api: str, architecture: str) -> None:
    with pytest.raises(
        RuntimeError, match=rf"needs Hopper \(sm_90\).*is {architecture} \({api}\)"
    ):
        guard.require_hopper(api, architecture)


def test_the_host_is_no_hopper_gpu() -> None:
    from max.driver import DeviceSpec

    with pytest.raises(RuntimeError, match=r"needs Hopper \(sm_90\).*\(cpu\)"):
        guard.require_hopper_devices([DeviceSpec.cpu()])


def test_the_first_registered_op_is_taken() -> None:
    assert guard.require_op(("mo.x", "custom.x"), {"mo.x", "custom.x"}) == "mo.x"
    assert guard.require_op(("mo.x", "custom.x"), {"custom.x"}) == "custom.x"


def test_missing_op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "other.mojoc"
    package.touch()
    monkeypatch.setenv(custom_extensions.VARIABLE, str(package))
    with pytest.raises(
        RuntimeError, match=r"registers mo\.x or custom\.x.*other\.mojoc.*mxfp4 build"
    ):
        guard.require_op(("mo.x", "custom.x"), {"custom.y"})
