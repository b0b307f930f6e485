"""GPT-OSS whose experts stay packed in MXFP4 and run on the Hopper kernel.

For MAX's `--custom-architectures`: it replaces the built-in GPT-OSS. Importing the
package or a module of it changes nothing. MAX asks for `ARCHITECTURES`, and that
patches it; see `mxfp4.served`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ARCHITECTURES"]


def __getattr__(name: str) -> Any:
    if name != "ARCHITECTURES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mxfp4.served import ARCHITECTURES

    return ARCHITECTURES
