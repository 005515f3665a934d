"""Parses the rule language of the reports into a small syntax tree.

Tuples: ("or"|"and", a, b), ("not", a), ("=>"|"<=>", a, b), ("cmp", op, a, b), ("in", a, items),
("+"|"-"|"*"|"/"|"%", a, b), ("neg", a), ("call", name, args), ("name", n), ("lit", value).
Knows no parameters.
"""

from __future__ import annotations

import json
import re
from typing import Any

Node = tuple[Any, ...]

_TOKEN = re.compile(
    r'\s*(?:(?P<num>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<str>"[^"]*")'
    r"|(?P<op><=>|=>|==|!=|<=|>=|<|>|\+|-|\*|/|%|\(|\)|\{|\}|,)|(?P<id>[A-Za-z_][A-Za-z0-9_.]*(?:\.\*)?))"
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_WORDS = {"true": True, "false": False, "null": None}


class LanguageError(Exception):
    """A text that is no expression."""


def parse(source: str) -> Node:
    """The tree of one expression."""
    parser = _Parser(_tokens(source))
    tree = parser.implication()
    if parser.peek() is not None:
        raise LanguageError(f"unexpected `{parser.peek()}` in: {source}")
    return tree


def _tokens(source: str) -> list[str]:
    found, at = [], 0
    while source[at:].strip():
        match = _TOKEN.match(source, at)
        if match is None:
            raise LanguageError(f"unreadable: {source[at : at + 20]}")
        found.append(match[0].strip())
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def _next(self) -> str:
        token = self.peek()
        if token is None:
            raise LanguageError("ends too early")
        self._at += 1
        return token

    def _eat(self, token: str) -> bool:
        if self.peek() == token:
            self._at += 1
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._eat(token):
            raise LanguageError(f"expected `{token}`, found `{self.peek()}`")

    def implication(self) -> Node:
        left = self._or()
        while self.peek() in ("=>", "<=>"):
            operator = self._next()
            left = (operator, left, self._or())
        return left

    def _or(self) -> Node:
        left = self._and()
        while self._eat("or"):
            left = ("or", left, self._and())
        return left

    def _and(self) -> Node:
        left = self._not()
        while self._eat("and"):
            left = ("and", left, self._not())
        return left

    def _not(self) -> Node:
        return ("not", self._not()) if self._eat("not") else self._comparison()

    def _comparison(self) -> Node:
        first = self._sum()
        if self.peek() == "in":
            self._next()
            return ("in", first, self._set())
        if self.peek() == "not" and self.peek(1) == "in":
            self._at += 2
            return ("not", ("in", first, self._set()))
        chain: Node | None = None
        left = first
        while self.peek() in _COMPARISONS:
            operator = self._next()
            right = self._sum()
            link = ("cmp", operator, left, right)
            chain = link if chain is None else ("and", chain, link)
            left = right
        return chain or first

    def _set(self) -> list[Node]:
        if not self._eat("{"):
            raise LanguageError(f"`{self.peek()}` is a set that the report does not list")
        items = [self._unary()]
        while self._eat(","):
            items.append(self._unary())
        self._need("}")
        return items

    def _sum(self) -> Node:
        left = self._product()
        while self.peek() in ("+", "-"):
            operator = self._next()
            left = (operator, left, self._product())
        return left

    def _product(self) -> Node:
        left = self._unary()
        while self.peek() in ("*", "/", "%"):
            operator = self._next()
            left = (operator, left, self._unary())
        return left

    def _unary(self) -> Node:
        token = self._next()
        if token == "-":
            return ("neg", self._unary())
        if token == "(":
            inner = self.implication()
            self._need(")")
            return inner
        if token in _WORDS:
            return ("lit", _WORDS[token])
        if token[0] == '"' or token[0].isdigit():
            return ("lit", json.loads(token))
        if not re.match(r"[A-Za-z_]", token):
            raise LanguageError(f"unexpected `{token}`")
        if self._eat("("):
            arguments = []
            if not self._eat(")"):
                arguments.append(self.implication())
                while self._eat(","):
                    arguments.append(self.implication())
                self._need(")")
            return ("call", token, arguments)
        return ("name", token)
