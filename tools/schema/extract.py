"""Reads an engine's parameters out of its sources, without importing it.

usage: extract.py PACKAGE_DIR                      prints one `Class.field` a line, with type and default
       extract.py PACKAGE_DIR --against EARLIER    prints what came and went since an earlier output

PACKAGE_DIR is the installed package (`…/site-packages/vllm`), in the engine's own environment or
unpacked from its wheel: nothing is executed, so neither a GPU nor its dependencies are needed.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Iterator

# Per package: the files that define parameters. Every class in them that has annotated fields counts.
SOURCES = {
    "vllm": [
        "config/*.py",
        "engine/arg_utils.py",
        "entrypoints/openai/cli_args.py",
        "entrypoints/openai/completion/protocol.py",
        "entrypoints/openai/chat_completion/protocol.py",
        "sampling_params.py",
        "envs.py",
    ],
    "transformers": [
        "generation/configuration_utils.py",
        "utils/quantization_config.py",
        "utils/kernel_config.py",
        "distributed/configuration_utils.py",
        "cache_utils.py",
        "cli/serve.py",
    ],
    "tensorrt_llm": [
        "llmapi/llm_args.py",
        "sampling_params.py",
        "models/modeling_utils.py",
        "builder.py",
        "plugin/plugin.py",
    ],
}


def fields(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of every parameter that a file defines."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _class(node)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.target.id == "environment_variables" and isinstance(node.value, ast.Dict):
                for key in node.value.keys:
                    if isinstance(key, ast.Constant):
                        yield f"env.{key.value}", "", ""


def _class(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            kind = ast.unparse(part.annotation)
            if not kind.startswith("ClassVar"):
                yield f"{node.name}.{part.target.id}", kind, ast.unparse(part.value) if part.value else ""
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            yield from _arguments(node.name, part.args)


def _arguments(owner: str, arguments: ast.arguments) -> Iterator[tuple[str, str, str]]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    keyword = zip(arguments.kwonlyargs, arguments.kw_defaults)
    for argument, default in [*zip(plain, defaults), *keyword]:
        if argument.arg != "self":
            kind = ast.unparse(argument.annotation) if argument.annotation else ""
            yield f"{owner}.{argument.arg}", kind, ast.unparse(default) if default else ""


def extract(package: Path) -> dict[str, str]:
    """All parameters of a package, by `Class.field`."""
    found: dict[str, str] = {}
    for pattern in SOURCES[package.name]:
        for path in sorted(package.glob(pattern)):
            for name, kind, default in fields(path):
                found.setdefault(name, f"{kind} = {default}".replace("\n", " "))
    return dict(sorted(found.items()))


def main() -> None:
    """Prints the parameters, or the difference to an earlier output."""
    found = extract(Path(sys.argv[1]).resolve())
    if "--against" not in sys.argv:
        for name, about in found.items():
            print(f"{name}\t{about}")
        return
    lines = Path(sys.argv[sys.argv.index("--against") + 1]).read_text().splitlines()
    earlier = dict(line.split("\t", 1) for line in lines)
    for name in sorted({*found, *earlier}):
        if name not in earlier:
            print(f"+ {name}\t{found[name]}")
        elif name not in found:
            print(f"- {name}\t{earlier[name]}")
        elif found[name] != earlier[name]:
            print(f"~ {name}\t{earlier[name]}  ->  {found[name]}")


if __name__ == "__main__":
    main()
