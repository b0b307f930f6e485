"""Fixtures: the kernel package, and a Hopper GPU where there is one."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mxfp4.kernels import custom_extensions

# Read when numpy is imported. Its threads wait for one another in busy loops, which
# takes seconds where other builds share the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NO_GPU = "skipped: needs a Hopper GPU (sm_90)"


@functools.cache
def _has_hopper() -> bool:
    """Asks a process of its own: virtual devices are process-wide."""
    program = (
        "from max.driver import Accelerator, accelerator_count\n"
        "from mxfp4.kernels.guard import require_hopper\n"
        "assert accelerator_count()\n"
        "require_hopper(Accelerator().api, Accelerator().architecture_name)\n"
    )
    # MAX changes the process's own environment behind Python's back, and a child that
    # inherits that does not find MAX.
    run = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ), capture_output=True
    )
    return run.returncode == 0


@pytest.fixture(scope="session")
def hopper() -> None:
    """Skips the test where there is no Hopper GPU."""
    if not _has_hopper():
        pytest.skip(NO_GPU)


@pytest.fixture(scope="session")
def kernel_package() -> Path:
    """The built kernel package."""
    paths = custom_extensions.parse(os.environ.get(custom_extensions.VARIABLE, ""))
    if not paths.paths:
        pytest.skip(
            "skipped: needs the kernel package, run `mxfp4 build` and set "
            f"{custom_extensions.VARIABLE}"
        )
    return paths.paths[0]


@pytest.fixture(autouse=True)
def forget_loaded_packages() -> None:
    """Every test reads `MAX_CUSTOM_EXTENSIONS` afresh."""
    custom_extensions._load.cache_clear()


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint."""
    from mxfp4 import checkpoint

    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoint.write(folder, checkpoint.SIZES["tiny"])
    return folder
