"""Prints, as one JSON object, the flags of `max serve`, the names of its settings, and
the variables that its serving code asks the environment for.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
from max._entrypoints.pipelines import main
from max.serve.config import Settings

# A string that is such a name is one, however it gets to the environment.
NAME = re.compile(r"(MAX_SERVE|MODULAR)_[A-Z0-9_]+")


def flags() -> list[str]:
    command = main.commands["serve"]
    found = {"help"}
    for parameter in command.get_params(click.Context(command)):
        for option in (*parameter.opts, *parameter.secondary_opts):
            found.add(option.removeprefix("--").removeprefix("no-"))
    return sorted(found)


def settings() -> list[str]:
    prefix = Settings.model_config["env_prefix"]
    found = set()
    for name, field in Settings.model_fields.items():
        found |= {field.alias, f"{prefix}{name}".upper()}
    return sorted(found)


def sources() -> list[Path]:
    root = Path(importlib.util.find_spec("max.serve").origin).parents[1]
    files = [
        file
        for folder in ("serve", "pipelines", "_entrypoints")
        for file in sorted((root / folder).rglob("*.py"))
    ]
    # Other models' own.
    return [
        file
        for file in files
        if "architectures" not in file.parts or "gpt_oss" in file.parts
    ]


def is_environment(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id in ("environ", "env")
    )


def asked(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields what names a variable where one is read or written."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="getenv"), args=[name, *_]):
                yield name
            case ast.Call(
                func=ast.Attribute(value=owner, attr="get" | "pop" | "setdefault"),
                args=[name, *_],
            ) if is_environment(owner):
                yield name
            case ast.Call(func=ast.Name(id="getenv" | "_env_flag"), args=[name, *_]):
                yield name
            case ast.Subscript(value=owner, slice=name) if is_environment(owner):
                yield name
            case ast.Compare(left=name, comparators=[owner]) if is_environment(owner):
                yield name
            case ast.Constant(value=str(text)) if NAME.fullmatch(text):
                yield node


def constants(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))
            ):
                yield name, text


def variables(trees: list[ast.AST]) -> list[str]:
    known = dict(pair for tree in trees for pair in constants(tree))
    found = set()
    for tree in trees:
        for name in asked(tree):
            match name:
                case ast.Constant(value=str(text)):
                    found.add(text)
                case ast.Name(id=constant) | ast.Attribute(attr=constant):
                    found.add(known.get(constant, ""))
    return sorted(name for name in found if name.isupper())


texts = [file.read_text() for file in sources()]
print(
    json.dumps(
        {
            "flags": flags(),
            "settings": settings(),
            "variables": variables([ast.parse(text) for text in texts]),
            "words": sorted(set(re.findall(r"[A-Z][A-Z0-9_]{4,}", " ".join(texts)))),
        }
    )
)
