"""As much of vLLM as the worker touches, without a model."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from . import config

__version__ = "0.0.0+stand-in"


class SamplingParams:
    """Takes what the real one takes, as far as the tests go."""

    def __init__(self, max_tokens: int, ignore_eos: bool = False, detokenize: bool = True, temperature: float = 1.0):
        self.max_tokens, self.ignore_eos = max_tokens, ignore_eos
        self.detokenize, self.temperature = detokenize, temperature


class LLM:
    """Remembers its arguments and answers with as many tokens as it is asked for."""

    last: LLM

    def __init__(self, **keywords: Any) -> None:
        LLM.last = self
        self.keywords = keywords
        scheduler = SimpleNamespace(max_num_seqs=keywords.get("max_num_seqs", 256))
        self.llm_engine = SimpleNamespace(vllm_config=SimpleNamespace(scheduler_config=scheduler))

    def generate(self, prompts: list[Any], parameters: SamplingParams, use_tqdm: bool) -> list[Any]:
        self.parameters = parameters
        now = time.monotonic()
        return [_output(prompt, parameters, now) for prompt in prompts]


def _output(prompt: Any, parameters: SamplingParams, now: float) -> Any:
    ids = prompt["prompt_token_ids"] if isinstance(prompt, dict) else [1] * len(prompt)
    part = SimpleNamespace(token_ids=[7] * parameters.max_tokens, finish_reason="length", text="seven")
    # The arrival is wall-clock time in the real engine too.
    metrics = SimpleNamespace(arrival_time=time.time(), queued_ts=now, first_token_ts=now, last_token_ts=now)
    return SimpleNamespace(prompt_token_ids=ids, outputs=[part], metrics=metrics)
