"""Rules in CEL."""

from __future__ import annotations

import unittest

from llem_schema import cel
from llem_schema.language import LanguageError, parse

NAMES = cel.Names(
    paths={
        "a": ["engine.a"],
        "b": ["engine.b"],
        "flag": ["engine.flag"],
        "c.x": ["engine.c.x"],
        "c.y": ["engine.c.y"],
        "two": ["engine.one", "engine.two"],
        "share": ["engine.share"],
    },
    facts=lambda name: name if name.startswith("model.") else None,
)


class Translation(unittest.TestCase):
    def test_a_rule_that_must_hold_becomes_the_condition_of_its_violation(self) -> None:
        cases = {
            "a <= b": "engine.a > engine.b",
            "a != null => a < 3": "engine.a != null && engine.a >= 3",
            "0 < a <= 9": "0 >= engine.a || engine.a > 9",
            "not (flag and a in {1, null})": "engine.flag == true && engine.a in [1, null]",
            "flag => model.layers % a == 0": "engine.flag == true && model.layers % engine.a != 0",
            "a == 1 or (b == 2 and flag)": "engine.a != 1 && (engine.b != 2 || engine.flag != true)",
        }
        for rule, wanted in cases.items():
            with self.subTest(rule=rule):
                self.assertEqual(cel.violation(rule, NAMES), wanted)

    def test_functions_become_methods(self) -> None:
        self.assertEqual(cel.condition('startswith(a, "x")', NAMES), 'engine.a.startsWith("x")')
        self.assertEqual(cel.condition("len(a) == 2", NAMES), "size(engine.a) == 2")
        self.assertEqual(cel.condition("given(a)", NAMES), "given(engine.a)")
        self.assertEqual(cel.condition("max(a, b) <= 2 * share", NAMES), "max(engine.a, engine.b) <= 2 * engine.share")

    def test_what_has_no_form_says_why(self) -> None:
        for rule, reason in {
            "unknown == 1": "nothing supplies the fact `unknown`",
            "two == 1": "stands for 2 parameters",
            "conflicts(a) == 1": "no such function",
            "a in SET": "is a set that the report does not list",
        }.items():
            with self.subTest(rule=rule), self.assertRaisesRegex(cel.Unexpressed, reason):
                cel.violation(rule, NAMES)

    def test_a_pattern_stands_for_all_fields_of_an_object(self) -> None:
        self.assertEqual(NAMES.targets("c.*"), ["engine.c.x", "engine.c.y"])

    def test_rubbish_is_refused(self) -> None:
        for text in ("a ==", "a b", "(a", "a in {1"):
            with self.subTest(text=text), self.assertRaises(LanguageError):
                parse(text)


if __name__ == "__main__":
    unittest.main()
