"""The clock that host and worker share, and the thinning of step events.

Knows nothing of devices: an engine synchronises before it asks for the time.
"""

from __future__ import annotations

import time
from typing import Callable

STEPS_PER_SECOND = 50
_INTERVAL_NS = 1_000_000_000 // STEPS_PER_SECOND


def now_ns() -> int:
    """Nanoseconds of `CLOCK_MONOTONIC`."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def within(seconds: float | None, begin_ns: int, end_ns: int) -> int | None:
    """An engine's own monotonic time stamp in nanoseconds; None where it can't be of this clock."""
    if not seconds:
        return None
    at_ns = round(seconds * 1e9)
    return at_ns if begin_ns <= at_ns <= end_ns else None


class StepBatcher:
    """Adds up the steps of a batch and passes them on at most 50 times a second.

    What `emit` gets are sums since its last call, stamped with the time of the newest step in it.
    """

    def __init__(self, emit: Callable[[int, int, int, int], None], started_ns: int) -> None:
        self._emit = emit
        self._last_ns = started_ns
        self._prefill = 0
        self._decode = 0
        self._running = 0
        self._at_ns = started_ns

    def add(self, prefill: int, decode: int, running: int, at_ns: int) -> None:
        """Counts a step that ended at `at_ns`."""
        self._prefill += prefill
        self._decode += decode
        self._running = running
        self._at_ns = at_ns
        if at_ns - self._last_ns >= _INTERVAL_NS:
            self.flush()

    def flush(self) -> None:
        """Passes on what has been added since the last time, if anything."""
        if self._prefill or self._decode:
            self._emit(self._prefill, self._decode, self._running, self._at_ns)
            self._prefill = self._decode = 0
            self._last_ns = self._at_ns
