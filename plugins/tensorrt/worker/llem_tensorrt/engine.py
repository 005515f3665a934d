"""The engine: one `tensorrt_llm.LLM` and its batches.

A batch is one `LLM.generate` call, which returns when all tokens are on the host. Time stamps come
from the engine's own per-request metrics where they are of this machine's monotonic clock; without
them a request has no token times.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import tensorrt_llm
from tensorrt_llm import SamplingParams

from llem_worker.messages import Generate, Load, Loaded, RequestTimes
from llem_worker.session import Report
from llem_worker.settings import Settings, nest
from llem_worker.timing import now_ns, within

RANDOM = "random"
ENGINE_BACKEND = "tensorrt"


class TensorRtEngine:
    """Implements `llem_worker.session.Engine` on TensorRT-LLM."""

    name = "tensorrt-llm"

    def __init__(self, built: str | None = None) -> None:
        self._built = built

    def load(self, request: Load) -> Loaded:
        """Loads the model, or the engine that was built of it."""
        backend, keywords = arguments(request)
        if backend == ENGINE_BACKEND:
            from tensorrt_llm._tensorrt_engine import LLM
        else:
            from tensorrt_llm import LLM

            if backend != "pytorch":
                keywords["backend"] = backend
        self._llm: Any = LLM(model=self._built or request.model, **keywords)
        self._seed = request.seed
        return Loaded(version=tensorrt_llm.__version__, effective=effective(self._llm, backend))

    def generate(self, request: Generate, report: Report) -> None:
        """Generates one batch."""
        parameters = sampling(request, self._seed)
        prompts: list[Any] = request.prompts if request.prompts is not None else list(request.texts or [])
        began_ns = report.begin()
        outputs = self._llm.generate(prompts, parameters, use_tqdm=False)
        ended_ns = now_ns()
        report.end([_times(output, began_ns, ended_ns, request.return_text) for output in outputs])

    def close(self) -> None:
        """Stops the engine's processes."""
        self._llm.shutdown()
        self._llm = None


def arguments(request: Load) -> tuple[str, dict[str, Any]]:
    """The backend and the keyword arguments of its `LLM` class."""
    settings = Settings(request.settings)
    source = settings.take("model.source", "directory")
    keywords = nest(settings.take_section("engine"))
    settings.finish()
    backend = keywords.pop("backend", None) or "pytorch"
    if source == RANDOM:
        keywords.setdefault("load_format", "dummy")
    keywords.setdefault("return_perf_metrics", True)
    return backend, keywords


def sampling(request: Generate, seed: int) -> SamplingParams:
    """The sampling parameters of a batch."""
    settings = Settings(request.settings)
    tree = nest(settings.take_section("sampling"))
    settings.finish()
    if isinstance(tree.get("guided_decoding"), dict):
        from tensorrt_llm.llmapi import GuidedDecodingParams

        tree["guided_decoding"] = GuidedDecodingParams(**tree["guided_decoding"])
    tree.setdefault("detokenize", request.return_text)
    tree.setdefault("seed", seed)
    if request.exact:
        tree.update(ignore_eos=True)
    # The engine's own default is 32 tokens.
    return SamplingParams(max_tokens=request.max_tokens, return_perf_metrics=True, **tree)


def effective(llm: Any, backend: str) -> dict[str, Any]:
    """What the engine resolved, by setting path; left out where this version does not tell."""
    found: dict[str, Any] = {"engine.backend": backend}
    known = getattr(llm, "args", None)
    dump = getattr(known, "model_dump", None)
    values = dump(mode="json") if callable(dump) else {}
    for name, value in values.items():
        if isinstance(value, dict):
            found.update({f"engine.{name}.{key}": part for key, part in value.items()})
        elif name not in ("model", "tokenizer"):
            found[f"engine.{name}"] = value
    return found


def _times(output: Any, began_ns: int, ended_ns: int, with_text: bool) -> RequestTimes:
    """One entry a prompt; the outputs of `n` > 1 are summed."""
    first = output.outputs[0]
    timing = getattr(getattr(first, "request_perf_metrics", None), "timing_metrics", None)

    def stamp(name: str) -> int | None:
        value = getattr(timing, name, None)
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        return within(seconds, began_ns, ended_ns)

    arrived = stamp("arrival_time")
    reasons = {part.finish_reason for part in output.outputs}
    return RequestTimes(
        input_tokens=len(output.prompt_token_ids),
        output_tokens=sum(len(part.token_ids) for part in output.outputs),
        scheduled_ns=began_ns if arrived is None else arrived,
        first_token_ns=stamp("first_token_time"),
        last_token_ns=stamp("last_token_time"),
        finish="length" if reasons == {"length"} else "stop" if reasons <= {"length", "stop"} else "error",
        text=first.text if with_text else None,
    )
