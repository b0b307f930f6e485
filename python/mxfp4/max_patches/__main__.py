"""Prints each patch, whether this MAX gets it, and what it costs to be without.

    python -m mxfp4.max_patches [--json]

Changes nothing, and ends with 1 where a patch that answers depend on does not apply.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from typing import Any

from mxfp4.max_patches import registry
from mxfp4.max_patches.catalog import FEATURES


def rows() -> list[dict[str, Any]]:
    """Returns what is known of each patch."""
    found = []
    for feature in FEATURES:
        state = registry.state(feature.name)
        found.append(
            {
                "name": feature.name,
                "state": state.kind.value,
                "where": state.where,
                "worker_only": feature.worker_only,
                "needed": feature.needed,
                "without": feature.without,
            }
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Prints the table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m mxfp4.max_patches",
        description="List what replaces MAX's functions, and whether this MAX gets it.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    found = rows()
    if args.json:
        print(json.dumps({"max": version("max"), "patches": found}, indent=2))
    else:
        for row in found:
            state = f"{row['state']} {row['where']}".strip()
            print(f"{row['name']:<18} {state}\n{'':<18} without it {row['without']}")
    return int(any(row["needed"] and row["state"] != "applies" for row in found))


if __name__ == "__main__":
    sys.exit(main())
