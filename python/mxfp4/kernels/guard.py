"""Refuses to run MXFP4 experts on anything but the Hopper kernel.

Each refusal is a RuntimeError that says what is missing and what to do.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from mxfp4.kernels import custom_extensions

BUILD_HINT = (
    "Build the kernel package with `mxfp4 build` and start through `mxfp4 serve`, "
    f"or set {custom_extensions.VARIABLE} to the built package."
)


def require_package() -> tuple[Path, ...]:
    """Returns the kernel packages to load, of which there must be one."""
    paths = custom_extensions.load()
    if not paths:
        raise RuntimeError(
            "MXFP4 experts need the Hopper kernel, and no kernel package is loaded: "
            f"{custom_extensions.VARIABLE} names none. {BUILD_HINT}"
        )
    return paths


def require_hopper(api: str, architecture: str) -> None:
    """Checks that a device is an NVIDIA GPU of compute capability 9.0.

    Args:
        api: What drives the device: `cuda`, `hip`, `metal` or `cpu`.
        architecture: The device's architecture, such as `sm_90a`.
    """
    if api != "cuda" or architecture not in ("sm_90", "sm_90a"):
        raise RuntimeError(
            "The MXFP4 kernel needs Hopper (sm_90), as an H100 or H200 has it; this "
            f"device is {architecture} ({api}). Run on a Hopper GPU with `--devices "
            "gpu`; to compile for one that is not there, use `--target cuda:sm_90a`."
        )


def require_hopper_devices(device_specs: Sequence[Any]) -> None:
    """Checks every device a model is about to use.

    Args:
        device_specs: The `max.driver.DeviceSpec`s of the model.
    """
    from max.driver import load_devices

    for device in load_devices(device_specs):
        # A host has no architecture to ask for.
        architecture = "cpu" if device.is_host else device.architecture_name
        require_hopper(device.api, architecture)


def require_op(names: Sequence[str], registered: Container[str]) -> str:
    """Returns the first of `names` that is registered.

    Args:
        names: Op names, the preferred one first.
        registered: The names that the loaded kernel packages register.
    """
    for name in names:
        if name in registered:
            return name
    loaded = ", ".join(map(str, custom_extensions.load())) or "none"
    raise RuntimeError(
        f"No loaded kernel package registers {' or '.join(names)}. "
        f"Packages loaded: {loaded}. {BUILD_HINT}"
    )
