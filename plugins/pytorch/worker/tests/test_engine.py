"""The worker on real torch and transformers, on the CPU, with a tiny model of random weights.

Needs torch and transformers; run in this file's grandparent, with the shared package on the path:
`PYTHONPATH=../../worker:. python3 -m unittest`
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

from llem_pytorch.engine import TransformersEngine
from llem_worker.protocol import Channel
from llem_worker.session import run

SHAPE = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 200,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "dtype": "float32",
    "bos_token_id": 0,
    "eos_token_id": 1,
}
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12], [3]]


class Worker(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.model = folder.name
        (Path(folder.name) / "config.json").write_text(json.dumps(SHAPE))

    def converse(self, settings: dict[str, Any], *batches: dict[str, Any]) -> list[dict[str, Any]]:
        load = {
            "op": "load",
            "model": self.model,
            "seed": 42,
            "settings": {"model.source": "random", "torch.num_threads": 1, **settings},
        }
        generate = {"op": "generate", "id": 1, "prompts": PROMPTS, "max_tokens": 6, "exact": True}
        messages = [load, *({**generate, **batch} for batch in batches), {"op": "quit"}]
        source = io.BytesIO(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        sink = io.BytesIO()
        with contextlib.redirect_stderr(io.StringIO()):
            run(Channel(source, sink), TransformersEngine())
        return [json.loads(line) for line in sink.getvalue().splitlines()]

    def ends(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        errors = [event for event in events if event["ev"] == "error"]
        self.assertEqual(errors, [])
        return [event for event in events if event["ev"] == "end"]

    def test_what_was_asked_for_is_in_force(self) -> None:
        settings = {"engine.dtype": "bfloat16", "engine.attn_implementation": "eager"}
        effective = self.converse(settings)[0]["effective"]
        self.assertEqual({name: effective[name] for name in settings}, settings)
        self.assertEqual(effective["torch.num_threads"], 1)

    def test_padding_is_no_token_and_lengths_are_exact(self) -> None:
        events = self.converse({}, {})
        (end,) = self.ends(events)
        self.assertEqual([request["input_tokens"] for request in end["requests"]], [3, 5, 1])
        self.assertEqual([request["output_tokens"] for request in end["requests"]], [6, 6, 6])
        steps = [event for event in events if event["ev"] == "step"]
        self.assertEqual(sum(step["prefill_tokens"] for step in steps), 9)
        self.assertEqual(sum(step["decode_tokens"] for step in steps), 18)

    def test_times_lie_in_order_inside_the_batch(self) -> None:
        events = self.converse({}, {})
        begin = next(event for event in events if event["ev"] == "begin")
        (end,) = self.ends(events)
        for request in end["requests"]:
            stamps = [request["scheduled_ns"], request["first_token_ns"], request["last_token_ns"]]
            self.assertEqual(stamps, sorted(stamps))
            self.assertTrue(begin["at_ns"] <= stamps[0] and stamps[-1] <= end["at_ns"])

    def test_a_row_that_ends_early_counts_up_to_its_last_token(self) -> None:
        # Almost flat probabilities over 200 tokens with 50 of them ending the sequence.
        batch = {
            "exact": False,
            "max_tokens": 40,
            "settings": {"sampling.do_sample": True, "sampling.eos_token_id": list(range(50)), "sampling.top_k": 0},
        }
        (end,) = self.ends(self.converse({}, batch))
        lengths = [request["output_tokens"] for request in end["requests"]]
        self.assertLess(min(lengths), 40)
        self.assertIn("stop", [request["finish"] for request in end["requests"]])

    def test_the_ways_of_generating_all_make_the_same_number_of_tokens(self) -> None:
        ways = [
            {"sampling.num_beams": 2},
            {"sampling.do_sample": True, "sampling.temperature": 0.7, "sampling.top_k": 5},
            {"generation.cache_implementation": "static"},
            {"generation.use_cache": False},
            {"generation.prefill_chunk_size": 2},
            {"generation.return_dict_in_generate": True, "generation.output_scores": True},
        ]
        ends = self.ends(self.converse({}, *({"settings": way} for way in ways)))
        self.assertEqual([[r["output_tokens"] for r in end["requests"]] for end in ends], [[6, 6, 6]] * len(ways))

    def test_several_tokens_a_step_are_counted_one_by_one(self) -> None:
        batch = {"prompts": [[5, 6, 7] * 5], "settings": {"generation.prompt_lookup_num_tokens": 3}}
        (end,) = self.ends(self.converse({}, batch))
        self.assertEqual(end["requests"][0]["output_tokens"], 6)

    def test_sequences_of_one_prompt_are_summed(self) -> None:
        batch = {"settings": {"sampling.do_sample": True, "sampling.num_return_sequences": 2}}
        (end,) = self.ends(self.converse({}, batch))
        self.assertEqual([request["output_tokens"] for request in end["requests"]], [12, 12, 12])

    def test_a_compiled_forward_pass_generates_too(self) -> None:
        settings = {"engine.compile_scope": "forward", "torch.compile.backend": "eager"}
        (end,) = self.ends(self.converse(settings, {}))
        self.assertEqual([request["output_tokens"] for request in end["requests"]], [6, 6, 6])

    def test_continuous_batching_counts_and_times_each_request(self) -> None:
        settings = {
            "engine.api": "generate_batch",
            "continuous_batching.num_blocks": 8,
            "continuous_batching.max_batch_tokens": 64,
            "continuous_batching.warmup": False,
        }
        (end,) = self.ends(self.converse(settings, {}))
        self.assertEqual([request["output_tokens"] for request in end["requests"]], [6, 6, 6])
        self.assertTrue(all(request["first_token_ns"] for request in end["requests"]))

    def test_a_setting_that_nothing_takes_is_refused(self) -> None:
        for settings in (
            {"engine.dtype": "float99"},
            {"torch.nonsense": 1},
            {"engine.nonsense": 1},
            {"nonsense.at_all": 1},
            {"torch.compile.mode": "default"},
            {"continuous_batching.page_size": 16},
        ):
            with self.subTest(settings=settings):
                events = self.converse(settings)
                self.assertEqual((events[0]["ev"], events[0].get("kind")), ("error", "bad-parameter"))
        events = self.converse({}, {"settings": {"generation.nonsense": 1}})
        self.assertEqual((events[1]["ev"], events[1]["kind"]), ("error", "bad-parameter"))

    def test_the_same_seed_draws_the_same_weights(self) -> None:
        first, second = TransformersEngine(), TransformersEngine()
        from llem_worker.messages import Load

        for engine in (first, second):
            engine.load(Load(model=self.model, seed=7, settings={"model.source": "random"}))
        one, other = (next(engine._model.parameters()) for engine in (first, second))
        self.assertTrue((one == other).all())


if __name__ == "__main__":
    unittest.main()
