"""Translates rules into CEL over parameter paths.

A rule that needs a fact nobody supplies, or a function that CEL lacks, is `Unexpressed`: it is
listed with that reason and never guessed at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Callable

from .language import LanguageError, Node, parse

Record = dict[str, Any]

# Precedence of what surrounds an operand; anything lower is put in parentheses.
_OR, _AND, _COMPARE, _SUM, _PRODUCT, _ATOM = range(1, 7)


class Unexpressed(Exception):
    """Why a rule has no CEL form."""


@dataclass
class Names:
    """What a name of the rule language stands for."""

    paths: dict[str, list[str]]
    facts: Callable[[str], str | None]
    rewrite: Callable[[Node], Node | None] = lambda node: None

    def path(self, name: str) -> str:
        """The path of a parameter, or the name of a fact."""
        found = self.paths.get(name, [])
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise Unexpressed(f"`{name}` stands for {len(found)} parameters")
        fact = self.facts(name)
        if fact is None:
            raise Unexpressed(f"nothing supplies the fact `{name}`")
        return fact

    def targets(self, pattern: str) -> list[str]:
        """All paths of a rule's target."""
        if pattern.endswith("*"):
            start = pattern[:-1]
            found = [path for name, all_ in self.paths.items() if name.startswith(start) for path in all_]
        else:
            found = self.paths.get(pattern, [])
        if not found:
            raise Unexpressed(f"`{pattern}` is no parameter")
        return sorted(set(found))


def condition(source: str, names: Names) -> str:
    """An expression that is true where `source` is."""
    return _boolean(_parsed(source), names, _OR)


def violation(source: str, names: Names) -> str:
    """An expression that is true where `source` is false."""
    return _negated(_parsed(source), names, _OR)


def literal(source: str) -> Any:
    """A constant value of a rule's assignment."""
    tree = _parsed(source)
    if tree[0] == "lit":
        return tree[1]
    if tree[0] == "neg" and tree[1][0] == "lit":
        return -tree[1][1]
    raise Unexpressed(f"sets a value that depends on others: {source}")


def _parsed(source: str) -> Node:
    try:
        return parse(source)
    except LanguageError as error:
        raise Unexpressed(str(error)) from error


def _wrap(text: str, own: int, outer: int) -> str:
    return f"({text})" if own < outer else text


def _boolean(node: Node, names: Names, outer: int) -> str:
    node = names.rewrite(node) or node
    kind = node[0]
    if kind == "or":
        return _wrap(f"{_boolean(node[1], names, _OR)} || {_boolean(node[2], names, _OR)}", _OR, outer)
    if kind == "and":
        return _wrap(f"{_boolean(node[1], names, _AND)} && {_boolean(node[2], names, _AND)}", _AND, outer)
    if kind == "not":
        return _negated(node[1], names, outer)
    if kind == "=>":
        return _wrap(f"{_negated(node[1], names, _OR)} || {_boolean(node[2], names, _OR)}", _OR, outer)
    if kind == "<=>":
        return _wrap(f"({_boolean(node[1], names, _OR)}) == ({_boolean(node[2], names, _OR)})", _COMPARE, outer)
    if kind == "cmp":
        _, operator, left, right = node
        text = f"{_value(left, names, _SUM)} {operator} {_value(right, names, _SUM)}"
        return _wrap(text, _COMPARE, outer)
    if kind == "in":
        items = ", ".join(_value(item, names, _OR) for item in node[2])
        return _wrap(f"{_value(node[1], names, _SUM)} in [{items}]", _COMPARE, outer)
    if kind == "lit" and isinstance(node[1], bool):
        return json.dumps(node[1])
    if kind == "call":
        return _wrap(_call(node, names), _ATOM, outer)
    if kind == "name":
        # Null counts as false.
        return _wrap(f"{names.path(node[1])} == true", _COMPARE, outer)
    raise Unexpressed(f"`{kind}` is no condition")


_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def _negated(node: Node, names: Names, outer: int) -> str:
    node = names.rewrite(node) or node
    kind = node[0]
    if kind == "or":
        return _wrap(f"{_negated(node[1], names, _AND)} && {_negated(node[2], names, _AND)}", _AND, outer)
    if kind == "and":
        return _wrap(f"{_negated(node[1], names, _OR)} || {_negated(node[2], names, _OR)}", _OR, outer)
    if kind == "not":
        return _boolean(node[1], names, outer)
    if kind == "=>":
        return _wrap(f"{_boolean(node[1], names, _AND)} && {_negated(node[2], names, _AND)}", _AND, outer)
    if kind == "<=>":
        return _wrap(f"({_boolean(node[1], names, _OR)}) != ({_boolean(node[2], names, _OR)})", _COMPARE, outer)
    if kind == "cmp":
        return _boolean(("cmp", _OPPOSITE[node[1]], node[2], node[3]), names, outer)
    if kind == "name":
        return _wrap(f"{names.path(node[1])} != true", _COMPARE, outer)
    if kind == "lit" and isinstance(node[1], bool):
        return json.dumps(not node[1])
    return f"!({_boolean(node, names, _OR)})"


def _value(node: Node, names: Names, outer: int) -> str:
    kind = node[0]
    if kind == "lit":
        return json.dumps(node[1])
    if kind == "name":
        return names.path(node[1])
    if kind == "neg":
        return f"-{_value(node[1], names, _ATOM)}"
    if kind == "call":
        return _call(node, names)
    if kind in ("+", "-", "*", "/", "%"):
        own = _SUM if kind in ("+", "-") else _PRODUCT
        text = f"{_value(node[1], names, own)} {kind} {_value(node[2], names, own + 1)}"
        return _wrap(text, own, outer)
    return f"({_boolean(node, names, _OR)})"


_FUNCTIONS = {
    "len": "size",
    "min": "min",
    "max": "max",
    "count": "count",
    "unique": "unique",
    "lower": "lowerAscii",
}


def _call(node: Node, names: Names) -> str:
    _, name, arguments = node
    if name == "given":
        return " || ".join(f"given({path})" for path in names.targets(arguments[0][1]))
    if name in ("resolved", "default"):
        return f"{name}({names.path(arguments[0][1])})"
    if name in _FUNCTIONS:
        return f"{_FUNCTIONS[name]}({', '.join(_value(argument, names, _OR) for argument in arguments)})"
    methods = {"contains": "contains", "startswith": "startsWith", "endswith": "endsWith"}
    if name in methods:
        return f"{_value(arguments[0], names, _ATOM)}.{methods[name]}({_value(arguments[1], names, _OR)})"
    raise Unexpressed(f"no such function in CEL: `{name}`")
