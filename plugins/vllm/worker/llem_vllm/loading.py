"""From settings to the arguments of `vllm.LLM`.

`LLM` drops unknown keys of some nested configs without a word, so their names are checked here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from llem_worker.failures import BAD_PARAMETER, WorkerFailure
from llem_worker.messages import Load
from llem_worker.settings import Settings, nest

RANDOM = "random"

# The nested configs whose unknown keys vanish, and their classes in `vllm.config`.
_FILTERED = {
    "compilation_config": "CompilationConfig",
    "attention_config": "AttentionConfig",
    "structured_outputs_config": "StructuredOutputsConfig",
    "profiler_config": "ProfilerConfig",
}


def arguments(request: Load) -> dict[str, Any]:
    """The keyword arguments of `LLM`, the model included."""
    settings = Settings(request.settings)
    source = settings.take("model.source", "directory")
    keywords = nest(settings.take_section("engine"))
    settings.finish()
    if source == RANDOM:
        keywords.setdefault("load_format", "dummy")
        keywords.setdefault("skip_tokenizer_init", True)
    keywords.setdefault("seed", request.seed)
    # Without statistics there are no time stamps.
    keywords.setdefault("disable_log_stats", False)
    _check_nested(keywords)
    return {"model": request.model, **keywords}


def _check_nested(keywords: dict[str, Any]) -> None:
    import vllm.config as configs

    for name, class_name in _FILTERED.items():
        given, kind = keywords.get(name), getattr(configs, class_name, None)
        if not isinstance(given, dict) or kind is None or not dataclasses.is_dataclass(kind):
            continue
        known = {field.name for field in dataclasses.fields(kind) if field.init}
        unknown = sorted(set(given) - known)
        if unknown:
            names = ", ".join(f"`engine.{name}.{key}`" for key in unknown)
            raise WorkerFailure(BAD_PARAMETER, f"this vLLM has no setting: {names}")
