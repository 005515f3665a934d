"""The worker on a stand-in for vLLM.

Run in this file's grandparent, with the shared package on the path:
`PYTHONPATH=../../worker:tests/fake:. python3 -m unittest`
"""

from __future__ import annotations

import contextlib
import io
import json
import unittest
from typing import Any

from llem_vllm.engine import VllmEngine
from llem_worker.protocol import Channel
from llem_worker.session import run
from vllm import LLM

LOAD = {"op": "load", "model": "m", "seed": 5, "settings": {"model.source": "random", "engine.max_num_seqs": 8}}
GENERATE = {"op": "generate", "id": 1, "prompts": [[1, 2], [3]], "max_tokens": 4, "exact": True}


def converse(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    source = io.BytesIO(b"".join(json.dumps(message).encode() + b"\n" for message in [*messages, {"op": "quit"}]))
    sink = io.BytesIO()
    with contextlib.redirect_stderr(io.StringIO()):
        run(Channel(source, sink), VllmEngine())
    return [json.loads(line) for line in sink.getvalue().splitlines()]


class Loading(unittest.TestCase):
    def test_random_weights_need_neither_checkpoint_nor_tokenizer(self) -> None:
        events = converse(LOAD)
        self.assertEqual(events[0]["effective"]["engine.max_num_seqs"], 8)
        wanted = {"model": "m", "seed": 5, "load_format": "dummy", "skip_tokenizer_init": True}
        self.assertEqual({name: LLM.last.keywords[name] for name in wanted}, wanted)
        self.assertFalse(LLM.last.keywords["disable_log_stats"])

    def test_dotted_settings_become_nested_arguments(self) -> None:
        converse({**LOAD, "settings": {"engine.compilation_config.mode": 3}})
        self.assertEqual(LLM.last.keywords["compilation_config"], {"mode": 3})

    def test_a_nested_name_that_vllm_would_drop_is_refused(self) -> None:
        events = converse({**LOAD, "settings": {"engine.compilation_config.moed": 3}})
        self.assertEqual((events[0]["ev"], events[0]["kind"]), ("error", "bad-parameter"))
        self.assertIn("engine.compilation_config.moed", events[0]["message"])


class Generating(unittest.TestCase):
    def test_every_token_is_counted_and_timed_on_the_shared_clock(self) -> None:
        events = converse(LOAD, GENERATE)
        begin, end = events[1], events[2]
        self.assertEqual([request["output_tokens"] for request in end["requests"]], [4, 4])
        self.assertEqual([request["input_tokens"] for request in end["requests"]], [2, 1])
        for request in end["requests"]:
            self.assertTrue(begin["at_ns"] <= request["first_token_ns"] <= end["at_ns"])

    def test_exact_lengths_ignore_the_end_of_the_sequence(self) -> None:
        converse(LOAD, GENERATE)
        self.assertTrue(LLM.last.parameters.ignore_eos)
        self.assertFalse(LLM.last.parameters.detokenize)

    def test_sampling_settings_reach_the_engine_and_unknown_ones_are_refused(self) -> None:
        converse(LOAD, {**GENERATE, "settings": {"sampling.temperature": 0.5}})
        self.assertEqual(LLM.last.parameters.temperature, 0.5)
        events = converse(LOAD, {**GENERATE, "settings": {"sampling.heat": 1}})
        self.assertEqual((events[1]["ev"], events[1]["kind"]), ("error", "bad-parameter"))


if __name__ == "__main__":
    unittest.main()
