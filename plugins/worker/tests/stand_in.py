"""An engine without a model: it counts, and it fails where a setting says so."""

from __future__ import annotations

from llem_worker import timing
from llem_worker.failures import WorkerFailure
from llem_worker.messages import Generate, Load, Loaded, RequestTimes
from llem_worker.session import Report


class StandIn:
    """Makes one token of every request at each step of 1 ms of its own clock."""

    name = "stand-in"

    def __init__(self) -> None:
        self.closed = False

    def load(self, request: Load) -> Loaded:
        if "raise" in request.settings:
            raise ValueError(request.settings["raise"])
        return Loaded(version="1.0", effective=dict(request.settings), memory_bytes=None)

    def generate(self, request: Generate, report: Report) -> None:
        rows = request.prompts or [[1] * len(text) for text in request.texts or []]
        began_ns = report.begin()
        if "kind" in request.settings:
            raise WorkerFailure(request.settings["kind"], "as asked")
        if "crash" in request.settings:
            raise RuntimeError("illegal instruction")
        for step in range(request.max_tokens):
            prefill = sum(map(len, rows)) if step == 0 else 0
            report.step(prefill, len(rows), len(rows), began_ns + (step + 1) * 1_000_000)
        ended_ns = timing.now_ns()
        report.end(
            [
                RequestTimes(len(row), request.max_tokens, began_ns, began_ns + 1_000_000, ended_ns, "length")
                for row in rows
            ]
        )

    def close(self) -> None:
        self.closed = True
