"""Failures, settings and the thinning of steps."""

from __future__ import annotations

import time
import unittest

from llem_worker import timing
from llem_worker.failures import WorkerFailure, kind_of
from llem_worker.settings import Settings, nest


class KindsOfFailure(unittest.TestCase):
    def test_each_kind_is_told_by_type_or_text(self) -> None:
        out_of_memory = type("OutOfMemoryError", (RuntimeError,), {})
        cases: list[tuple[BaseException, str]] = [
            (out_of_memory("CUDA"), "out-of-memory"),
            (MemoryError(), "out-of-memory"),
            (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out-of-memory"),
            (ValueError("No available memory for the cache blocks"), "out-of-memory"),
            (OSError("x is not a local folder and is not a valid model identifier"), "model-not-found"),
            (FileNotFoundError("/nowhere"), "model-not-found"),
            (OSError("You are trying to access a gated repo."), "gated-model"),
            (RuntimeError("CUDA error: no kernel image is available for execution"), "unsupported-hardware"),
            (AssertionError("Torch not compiled with CUDA enabled"), "unsupported-hardware"),
            (ValueError("dtype"), "bad-parameter"),
            (RuntimeError("illegal memory access"), "crash"),
            (WorkerFailure("protocol", "no"), "protocol"),
        ]
        for error, kind in cases:
            with self.subTest(error=error):
                self.assertEqual(kind_of(error), kind)

    def test_a_wrapped_failure_keeps_the_kind_of_its_cause(self) -> None:
        try:
            try:
                raise MemoryError("no room")
            except MemoryError as error:
                raise RuntimeError("engine core died") from error
        except RuntimeError as error:
            self.assertEqual(kind_of(error), "out-of-memory")


class TakingSettings(unittest.TestCase):
    def test_what_nobody_took_is_refused_by_name(self) -> None:
        settings = Settings({"engine.dtype": "auto", "torch.num_threads": 2, "engine.typo": 1})
        self.assertEqual(settings.take("engine.dtype"), "auto")
        self.assertEqual(settings.take_section("torch"), {"num_threads": 2})
        with self.assertRaisesRegex(WorkerFailure, "`engine.typo`"):
            settings.finish()

    def test_dotted_names_nest_and_meet_objects(self) -> None:
        self.assertEqual(nest({"a.b.c": 1, "a.d": 2, "e": 3}), {"a": {"b": {"c": 1}, "d": 2}, "e": 3})
        self.assertEqual(nest({"a.b": 1, "a": {"c": 2}}), {"a": {"b": 1, "c": 2}})

    def test_a_name_below_a_plain_value_is_refused(self) -> None:
        with self.assertRaises(WorkerFailure):
            nest({"a": 1, "a.b": 2})


class Time(unittest.TestCase):
    def test_the_clock_is_the_monotonic_one(self) -> None:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.assertLessEqual(before, timing.now_ns())

    def test_a_stamp_of_another_clock_is_none(self) -> None:
        self.assertEqual(timing.within(2.5, 2_000_000_000, 3_000_000_000), 2_500_000_000)
        for seconds in (None, 0.0, 1.9, 1_790_000_000.0):
            self.assertIsNone(timing.within(seconds, 2_000_000_000, 3_000_000_000))

    def test_steps_are_thinned_without_losing_a_token(self) -> None:
        sent: list[tuple[int, int, int, int]] = []
        steps = timing.StepBatcher(lambda *step: sent.append(step), started_ns=0)
        for at in range(1, 1001):
            steps.add(0, 3, 2, at * 1_000_000)
        steps.flush()
        self.assertEqual(sum(decode for _, decode, _, _ in sent), 3000)
        self.assertEqual(len(sent), timing.STEPS_PER_SECOND)
        self.assertEqual(sent[-1][3], 1_000_000_000)


if __name__ == "__main__":
    unittest.main()
