"""Every shipped rule fires for some configuration and stays silent for another."""

from __future__ import annotations

import json
import random
import re
import unittest
from pathlib import Path
from typing import Any

from llem_schema.build import ENGINES
from tests.evaluate import UNKNOWN, evaluate, names, tokens

PLUGINS = Path(__file__).parent.parent.parent.parent / "plugins"
_RULE = re.compile(r'^RuleDef::(\w+)\("((?:[^"\\]|\\.)*)", ("(?:[^"\\]|\\.)*")')
_PARAMETER = re.compile(r'Param::new\("([^"]+)", &\[(.*?)\], Fallback::(\w+)(?:\(Val::(\w+)\((.*?)\)\))?')


def parameters(folder: Path) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Candidate values and defaults by path."""
    candidates: dict[str, list[Any]] = {}
    defaults: dict[str, Any] = {}
    for line in (folder / "parameters.in").read_text().splitlines():
        match = _PARAMETER.search(line)
        if match is None:
            continue
        path, types, _, kind, value = match.groups()
        found: list[Any] = [json.loads(word) for word in re.findall(r'\(("[^"]*"), ""\)', types)]
        found += [int(number.replace("_", "")) for number in re.findall(r"Val::Int\((-?[\d_]+)\)", types)]
        found += [True, False] if "Boolean" in types else []
        found += [0, 1, 2, 7, 64, 4096] if "Integer" in types else []
        found += [0.0, 0.5, 1.0, 2.0] if "Number" in types else []
        found += [[], [1, 2], [2, 1]] if "Items" in types else []
        found += [{}] if "Object" in types else []
        candidates[path] = found or ["text"]
        if kind in ("Int", "Num"):
            defaults[path] = json.loads(value.replace("_", ""))
        elif kind in ("Text", "Bool"):
            defaults[path] = json.loads(value)
    return candidates, defaults


def outcomes(when: str, candidates: dict[str, list[Any]], defaults: dict[str, Any], seed: int) -> set[Any]:
    """What an expression evaluates to over random configurations, until both answers were seen."""
    literals = [json.loads(token) for token in tokens(when) if token[0] == '"' or token[0].isdigit()]
    numbers = [value for value in literals if isinstance(value, (int, float))]
    others = [near for value in numbers for near in (value + 1, value - 1, -value, value / 2)]
    pool = [*literals, *others, literals, [[*literals, *literals]], "another", 3, 5]
    draw = random.Random(seed)
    wanted = sorted(names(when))
    found: set[Any] = set()
    for _ in range(4000):
        values = {}
        for name in wanted:
            if draw.random() < 0.75:
                values[name] = draw.choice(draw.choice([pool, candidates.get(name, [True, False, 0, 1, 8])]))
        found.add(evaluate(when, values, defaults))
        if {True, False} <= found:
            break
    return found


class Rules(unittest.TestCase):
    def test_every_rule_fires_for_some_configuration_and_not_for_another(self) -> None:
        for engine in ENGINES:
            folder = PLUGINS / engine.plugin / "data"
            candidates, defaults = parameters(folder)
            for seed, line in enumerate((folder / "rules.in").read_text().splitlines()[1:-1]):
                match = _RULE.match(line)
                assert match is not None, line
                name, when = match[2], json.loads(match[3])
                with self.subTest(rule=name, when=when):
                    found = outcomes(when, candidates, defaults, seed)
                    self.assertLessEqual({True, False}, found - {UNKNOWN})

    def test_the_evaluator_is_three_valued(self) -> None:
        cases = {
            "a.b > 1 || true": True,
            "a.b > 1 && false": False,
            "a.b > 1": UNKNOWN,
            "!(a.b > 1)": UNKNOWN,
            "a.b == null": True,
            "given(a.b)": False,
            'a.c.startsWith("x") && a.c in ["xy", 1]': True,
            "size(a.l) == 2 && max(1, a.n) % 3 == 1": True,
        }
        values = {"a.c": "xy", "a.l": [1, 2], "a.n": 7}
        for text, wanted in cases.items():
            with self.subTest(text=text):
                self.assertIs(evaluate(text, values, {}), wanted)


if __name__ == "__main__":
    unittest.main()
