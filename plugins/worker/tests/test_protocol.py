"""The channel and the messages."""

import io
import json
import os
import subprocess
import sys
import unittest

from llem_worker import messages
from llem_worker.failures import WorkerFailure
from llem_worker.protocol import MAX_LINE_BYTES, Channel

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def channel(text: bytes) -> Channel:
    return Channel(io.BytesIO(text), io.BytesIO())


class ReadingLines(unittest.TestCase):
    def test_the_end_of_input_is_none(self) -> None:
        self.assertIsNone(channel(b"").receive())

    def test_a_line_that_is_no_json_is_refused_and_the_next_is_read(self) -> None:
        lines = channel(b"nonsense\n{}\n")
        with self.assertRaisesRegex(WorkerFailure, "no JSON"):
            lines.receive()
        self.assertEqual(lines.receive(), {})

    def test_a_line_over_the_limit_is_fatal(self) -> None:
        with self.assertRaisesRegex(WorkerFailure, "exceeds") as caught:
            channel(b"x" * (MAX_LINE_BYTES + 1)).receive()
        self.assertTrue(caught.exception.fatal)

    def test_what_a_library_prints_never_reaches_the_protocol(self) -> None:
        program = (
            f"import sys; sys.path.insert(0, {ROOT!r})\n"
            "from llem_worker.protocol import Channel\n"
            "channel = Channel.take_over()\n"
            "import os; print('noise', flush=True); os.write(1, b'more noise\\n'); os.system('echo child')\n"
            "channel.send({'read': channel.receive(), 'stdin': sys.stdin.read()})\n"
        )
        done = subprocess.run([sys.executable, "-c", program], input=b'{"a":1}\n', capture_output=True, check=True)
        self.assertEqual(json.loads(done.stdout), {"read": {"a": 1}, "stdin": ""})
        self.assertIn(b"more noise\nchild\n", done.stderr)


class ParsingMessages(unittest.TestCase):
    def test_unknown_fields_are_ignored(self) -> None:
        message = messages.parse({"op": "load", "model": "m", "seed": 1, "later": True})
        self.assertEqual(message, messages.Load(model="m", seed=1, settings={}))

    def test_an_unknown_message_is_refused(self) -> None:
        with self.assertRaisesRegex(WorkerFailure, "unknown message `sing`"):
            messages.parse({"op": "sing"})

    def test_prompts_and_texts_exclude_each_other(self) -> None:
        body = {"op": "generate", "id": 1, "max_tokens": 1, "exact": True}
        for prompts in ({}, {"prompts": [[1]], "texts": ["a"]}):
            with self.assertRaisesRegex(WorkerFailure, "either `prompts` or `texts`"):
                messages.parse({**body, **prompts})

    def test_wrong_types_are_refused_with_the_field_named(self) -> None:
        good = {"op": "generate", "id": 1, "prompts": [[1]], "max_tokens": 1, "exact": True}
        for wrong in ({"id": True}, {"max_tokens": "1"}, {"exact": 1}, {"prompts": [[]]}, {"prompts": [[-1]]}):
            with self.assertRaisesRegex(WorkerFailure, next(iter(wrong))):
                messages.parse({**good, **wrong})

    def test_at_least_one_prompt_and_one_token_are_wanted(self) -> None:
        good = {"op": "generate", "id": 1, "prompts": [[1]], "max_tokens": 1, "exact": True}
        for wrong in ({"prompts": []}, {"max_tokens": 0}):
            with self.assertRaisesRegex(WorkerFailure, "at least one"):
                messages.parse({**good, **wrong})


if __name__ == "__main__":
    unittest.main()
