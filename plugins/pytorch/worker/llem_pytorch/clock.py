"""Takes the time of every step of `generate`.

A streamer where the decoding loop supports one, else a stopping criterion that never stops. On
CUDA both are called after the loop has waited for the step's tokens, so a stamp is no launch time.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from llem_worker.session import Report
from llem_worker.timing import now_ns


class StepStreamer(BaseStreamer):
    """Stamps each step and tells the host how many rows are still in work."""

    def __init__(self, report: Report, prompt_tokens: int, rows: int, stops: list[int]) -> None:
        self.times: list[int] = []
        self._report = report
        self._prefill = prompt_tokens
        self._rows = rows
        self._stops = torch.tensor(stops) if stops else None
        self._finished = torch.zeros(rows, dtype=torch.bool)
        self._seen_prompt = False

    def put(self, value: Any) -> None:
        """Is given the prompt first, then the new token of each row, or several tokens of one row."""
        if not self._seen_prompt:
            self._seen_prompt = True
            return
        at_ns = now_ns()
        columns = value.reshape(self._rows, -1)
        width = columns.shape[1]
        self.times.extend([at_ns] * width)
        made = self._rows * width
        running = self._rows
        if self._stops is not None:
            made = int((~self._finished).sum()) * width
            self._finished |= torch.isin(columns, self._stops).any(dim=1)
            running = int((~self._finished).sum())
        self._report.step(self._prefill, made, running, at_ns)
        self._prefill = 0

    def end(self) -> None:
        """Is called after the last step; nothing is left to do."""


class StepCriterion(StoppingCriteria):
    """Stamps the steps of a beam search, which has no streamer; never stops anything."""

    def __init__(self, report: Report, prompt_tokens: int, rows: int) -> None:
        self.times: list[int] = []
        self._report = report
        self._prefill = prompt_tokens
        self._rows = rows

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Is called with the sequences so far after each step."""
        at_ns = now_ns()
        self.times.append(at_ns)
        self._report.step(self._prefill, self._rows, self._rows, at_ns)
        self._prefill = 0
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
