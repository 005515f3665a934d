"""As much of TensorRT-LLM as the worker touches, without a model."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

__version__ = "0.0.0+stand-in"


class SamplingParams:
    """Remembers what it was given."""

    def __init__(self, max_tokens: int = 32, **others: Any) -> None:
        self.max_tokens, self.others = max_tokens, others


class LLM:
    """Remembers its arguments and answers with as many tokens as it is asked for."""

    last: LLM

    def __init__(self, **keywords: Any) -> None:
        LLM.last = self
        self.keywords = keywords
        self.args = SimpleNamespace(model_dump=lambda mode: {"max_batch_size": 8, "kv_cache_config": {"dtype": "auto"}})

    def generate(self, prompts: list[Any], parameters: SamplingParams, use_tqdm: bool) -> list[Any]:
        self.parameters = parameters
        now = timedelta(seconds=time.monotonic())
        timing = SimpleNamespace(arrival_time=now, first_token_time=now, last_token_time=now)
        metrics = SimpleNamespace(timing_metrics=timing)
        part = SimpleNamespace(
            token_ids=[7] * parameters.max_tokens, finish_reason="length", text="", request_perf_metrics=metrics
        )
        return [SimpleNamespace(prompt_token_ids=prompt, outputs=[part]) for prompt in prompts]

    def shutdown(self) -> None:
        self.keywords = {}
