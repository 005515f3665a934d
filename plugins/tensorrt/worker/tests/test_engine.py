"""The worker on a stand-in for TensorRT-LLM.

Run in this file's grandparent, with the shared package on the path:
`PYTHONPATH=../../worker:tests/fake:. python3 -m unittest`
"""

from __future__ import annotations

import contextlib
import io
import json
import unittest
from typing import Any

from llem_tensorrt.engine import TensorRtEngine
from llem_worker.protocol import Channel
from llem_worker.session import run
from tensorrt_llm import LLM
from tensorrt_llm import _tensorrt_engine

LOAD = {"op": "load", "model": "m", "seed": 5, "settings": {"model.source": "random", "engine.max_batch_size": 8}}
GENERATE = {"op": "generate", "id": 1, "prompts": [[1, 2], [3]], "max_tokens": 4, "exact": True}


def converse(*messages: dict[str, Any], built: str | None = None) -> list[dict[str, Any]]:
    source = io.BytesIO(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    sink = io.BytesIO()
    with contextlib.redirect_stderr(io.StringIO()):
        run(Channel(source, sink), TensorRtEngine(built))
    return [json.loads(line) for line in sink.getvalue().splitlines()]


class Loading(unittest.TestCase):
    def test_random_weights_are_dummy_ones_and_the_default_backend_is_pytorch(self) -> None:
        events = converse(LOAD)
        wanted = {"model": "m", "load_format": "dummy", "max_batch_size": 8, "return_perf_metrics": True}
        self.assertEqual(LLM.last.keywords, wanted)
        self.assertEqual(events[0]["effective"]["engine.kv_cache_config.dtype"], "auto")

    def test_a_built_engine_takes_the_place_of_the_model(self) -> None:
        converse({**LOAD, "settings": {"engine.backend": "tensorrt"}}, built="/engine")
        self.assertIsInstance(LLM.last, _tensorrt_engine.LLM)
        self.assertEqual(LLM.last.keywords["model"], "/engine")

    def test_dotted_settings_become_nested_arguments(self) -> None:
        converse({**LOAD, "settings": {"engine.kv_cache_config.enable_block_reuse": False}})
        self.assertEqual(LLM.last.keywords["kv_cache_config"], {"enable_block_reuse": False})


class Generating(unittest.TestCase):
    def test_every_token_is_counted_and_timed_on_the_shared_clock(self) -> None:
        begin, end = converse(LOAD, GENERATE)[1:3]
        self.assertEqual([request["output_tokens"] for request in end["requests"]], [4, 4])
        for request in end["requests"]:
            self.assertTrue(begin["at_ns"] <= request["first_token_ns"] <= end["at_ns"])

    def test_exact_lengths_ignore_the_end_of_the_sequence(self) -> None:
        converse(LOAD, GENERATE)
        self.assertEqual(LLM.last.parameters.max_tokens, 4)
        self.assertTrue(LLM.last.parameters.others["ignore_eos"])


if __name__ == "__main__":
    unittest.main()
