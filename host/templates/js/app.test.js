// Tests of the plugin as plain JavaScript.

import assert from "node:assert";
import { test } from "node:test";

import { launch, PARAMETERS } from "./app.js";

test("a setting reaches the engine", () => {
  const config = [{ path: "engine.gap_ms", value: { tag: "integer", val: 5 } }];
  const plan = launch.plan(config, { model: { id: "m" } });
  assert.equal(plan.steps[0].command.args[1][0].val, '{"gap_ms":5}');
});

test("every parameter says what it is", () => {
  for (const parameter of PARAMETERS) assert.ok(parameter.doc, parameter.path);
});
