"""Tests of the plugin as plain Python, against the generated bindings."""

import unittest
from types import SimpleNamespace

import app
from wit_world.imports import types


class Plugin(unittest.TestCase):
    def test_a_setting_reaches_the_engine(self) -> None:
        config = [types.Setting("engine.gap_ms", types.Value_Integer(5))]
        context = SimpleNamespace(model=SimpleNamespace(id="m"))
        plan = app.Launch().plan(config, context)
        self.assertEqual(plan.steps[0].command.args[1][0].value, '{"gap_ms":5}')

    def test_every_parameter_says_what_it_is(self) -> None:
        for parameter in app.PARAMETERS:
            self.assertTrue(parameter.doc, parameter.path)
