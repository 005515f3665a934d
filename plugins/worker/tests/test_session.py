"""The conversation with a stand-in engine."""

from __future__ import annotations

import contextlib
import io
import json
import unittest
from typing import Any

from llem_worker.protocol import Channel
from llem_worker.session import run
from tests.stand_in import StandIn

LOAD = {"op": "load", "model": "m", "seed": 1, "settings": {}}
QUIT = {"op": "quit"}


def generate(**fields: Any) -> dict[str, Any]:
    return {"op": "generate", "id": 7, "prompts": [[1, 2], [3]], "max_tokens": 100, "exact": True, **fields}


def converse(*messages: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    source = io.BytesIO(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    sink = io.BytesIO()
    with contextlib.redirect_stderr(io.StringIO()):
        code = run(Channel(source, sink), StandIn())
    return code, [json.loads(line) for line in sink.getvalue().splitlines()]


class Conversation(unittest.TestCase):
    def test_a_batch_begins_steps_and_ends_with_every_token_counted(self) -> None:
        code, events = converse(LOAD, generate(), QUIT)
        names = [event["ev"] for event in events]
        steps = [event for event in events if event["ev"] == "step"]
        self.assertEqual((code, names[:2], names[-2:]), (0, ["loaded", "begin"], ["end", "bye"]))
        self.assertEqual(sum(step["decode_tokens"] for step in steps), 200)
        self.assertEqual(sum(step["prefill_tokens"] for step in steps), 3)
        # 100 steps of 1 ms are five intervals of 20 ms.
        self.assertEqual(len(steps), 5)
        self.assertEqual([request["input_tokens"] for request in events[-2]["requests"]], [2, 1])

    def test_a_text_is_on_the_wire_only_where_there_is_one(self) -> None:
        _, events = converse(LOAD, generate(max_tokens=1), QUIT)
        self.assertNotIn("text", events[-2]["requests"][0])

    def test_an_unknown_message_is_an_error_and_the_worker_goes_on(self) -> None:
        code, events = converse({"op": "sing"}, LOAD, QUIT)
        self.assertEqual([event["ev"] for event in events], ["error", "loaded", "bye"])
        self.assertEqual((code, events[0]["kind"], events[0]["fatal"]), (0, "protocol", False))

    def test_generating_before_loading_and_loading_twice_are_protocol_errors(self) -> None:
        _, events = converse(generate(), LOAD, LOAD, QUIT)
        self.assertEqual([event["ev"] for event in events], ["error", "loaded", "error", "bye"])
        self.assertEqual({event["kind"] for event in events if event["ev"] == "error"}, {"protocol"})

    def test_a_load_that_fails_ends_the_worker(self) -> None:
        code, events = converse({**LOAD, "settings": {"raise": "`dtype` must be one of …"}}, QUIT)
        self.assertEqual(code, 1)
        self.assertEqual([(event["kind"], event["fatal"]) for event in events], [("bad-parameter", True)])

    def test_a_batch_that_runs_out_of_memory_leaves_the_worker_alive(self) -> None:
        code, events = converse(LOAD, generate(settings={"kind": "out-of-memory"}), generate(), QUIT)
        self.assertEqual((code, events[-1]["ev"]), (0, "bye"))
        errors = [event for event in events if event["ev"] == "error"]
        self.assertEqual([(error["kind"], error["fatal"]) for error in errors], [("out-of-memory", False)])

    def test_a_crash_inside_a_batch_is_fatal(self) -> None:
        code, events = converse(LOAD, generate(settings={"crash": True}), QUIT)
        self.assertEqual((code, events[-1]["kind"], events[-1]["fatal"]), (1, "crash", True))

    def test_a_host_that_goes_away_ends_the_worker_quietly(self) -> None:
        code, events = converse(LOAD)
        self.assertEqual((code, [event["ev"] for event in events]), (0, ["loaded"]))


if __name__ == "__main__":
    unittest.main()
