"""Evaluates the part of CEL that the rules use, three-valued: `UNKNOWN` where nobody can know.

For tests only; the host has its own evaluator.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable

UNKNOWN = object()

_TOKEN = re.compile(
    r'\s*(?:(?P<num>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<str>"(?:[^"\\]|\\.)*")'
    r"|(?P<op>\|\||&&|==|!=|<=|>=|<|>|\+|-|\*|/|%|!|\(|\)|\[|\]|,)|(?P<id>[A-Za-z_][A-Za-z0-9_.\-]*))"
)
_METHODS = {"contains": lambda a, b: b in a, "startsWith": str.startswith, "endsWith": str.endswith}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": len,
    "min": min,
    "max": max,
    "count": lambda *values: sum(value is not None and value is not False for value in values),
    "unique": lambda items: len(set(map(str, items))) == len(items),
    "lowerAscii": lambda text: text.lower(),
}


def tokens(text: str) -> list[str]:
    """The tokens of an expression."""
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"unreadable: {text[at:]}")
        found.append(match[0].strip())
        at = match.end()
    return found


def names(text: str) -> set[str]:
    """The dotted names in an expression, methods cut off."""
    found = set()
    for token in tokens(text):
        if re.match(r"[A-Za-z_]", token) and token not in ("true", "false", "null", "in", *_FUNCTIONS):
            head, _, last = token.rpartition(".")
            found.add(head if last in _METHODS else token)
    return found - {"given", "resolved", "default"}


def evaluate(text: str, values: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """True, False or `UNKNOWN`. `values` has what is given; a name in neither is null."""
    reader = _Reader(tokens(text), values, defaults)
    result = reader.either()
    if reader.tokens:
        raise ValueError(f"unexpected `{reader.tokens[0]}` in: {text}")
    return result


class _Reader:
    def __init__(self, found: list[str], values: dict[str, Any], defaults: dict[str, Any]) -> None:
        self.tokens, self.values, self.defaults = found, values, defaults

    def eat(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def need(self, token: str) -> None:
        if not self.eat(token):
            raise ValueError(f"expected `{token}`, found {self.tokens[:1]}")

    def either(self) -> Any:
        left = self.both()
        while self.eat("||"):
            right = self.both()
            left = True if left is True or right is True else UNKNOWN if UNKNOWN in (left, right) else False
        return left

    def both(self) -> Any:
        left = self.comparison()
        while self.eat("&&"):
            right = self.comparison()
            left = False if left is False or right is False else UNKNOWN if UNKNOWN in (left, right) else True
        return left

    def comparison(self) -> Any:
        left = self.sum()
        while self.tokens and self.tokens[0] in ("==", "!=", "<", "<=", ">", ">=", "in"):
            left = _compare(self.tokens.pop(0), left, self.sum())
        return left

    def sum(self) -> Any:
        left = self.product()
        while self.tokens and self.tokens[0] in ("+", "-"):
            left = _arithmetic(self.tokens.pop(0), left, self.product())
        return left

    def product(self) -> Any:
        left = self.unary()
        while self.tokens and self.tokens[0] in ("*", "/", "%"):
            left = _arithmetic(self.tokens.pop(0), left, self.unary())
        return left

    def unary(self) -> Any:
        if self.eat("!"):
            value = self.unary()
            return UNKNOWN if not isinstance(value, bool) else not value
        if self.eat("-"):
            return _arithmetic("-", 0, self.unary())
        if self.eat("("):
            value = self.either()
            self.need(")")
            return value
        if self.eat("["):
            items = [] if self.eat("]") else self.arguments("]")
            return items
        token = self.tokens.pop(0)
        if token in ("true", "false", "null") or token[0] == '"' or token[0].isdigit():
            return json.loads(token)
        if self.eat("("):
            return self.call(token)
        return self.value(token)

    def arguments(self, end: str) -> list[Any]:
        found = [self.either()]
        while self.eat(","):
            found.append(self.either())
        self.need(end)
        return found

    def call(self, name: str) -> Any:
        if name == "given":
            path = self.tokens.pop(0)
            self.need(")")
            return path in self.values
        if name in ("resolved", "default"):
            path = self.tokens.pop(0)
            self.need(")")
            return self.value(path) if name == "resolved" else self.defaults.get(path)
        arguments = self.arguments(")")
        head, _, method = name.rpartition(".")
        function = _FUNCTIONS.get(name) or _METHODS[method]
        if method in _METHODS and head:
            arguments.insert(0, self.value(head))
        if UNKNOWN in arguments:
            return UNKNOWN
        if method in _METHODS and arguments[0] is None:
            return False
        try:
            return function(*arguments)
        except (TypeError, ValueError, AttributeError):
            return UNKNOWN

    def value(self, name: str) -> Any:
        return self.values.get(name, self.defaults.get(name))


def _compare(operator: str, left: Any, right: Any) -> Any:
    if UNKNOWN in (left, right):
        return UNKNOWN
    if operator in ("==", "!="):
        same = left == right and isinstance(left, bool) == isinstance(right, bool)
        return same == (operator == "==")
    if operator == "in":
        return any(_compare("==", left, item) is True for item in right)
    try:
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]
    except TypeError:
        return UNKNOWN


def _arithmetic(operator: str, left: Any, right: Any) -> Any:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right))
    if not numbers or (operator in "/%" and right == 0):
        return UNKNOWN
    if operator == "/":
        return left // right if isinstance(left, int) and isinstance(right, int) else left / right
    return {"+": left + right, "-": left - right, "*": left * right, "%": left % right if right else 0}[operator]
