"""Continuous batching: `generate_batch`, which packs requests itself.

Its time stamps are `perf_counter` seconds, on Linux the same clock as the protocol's. They are
taken where the host sees a batch, so with asynchronous batching they lag by one step.
"""

from __future__ import annotations

from typing import Any

from transformers import CompileConfig, GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from llem_worker.failures import BAD_PARAMETER, CRASH, WorkerFailure, kind_of
from llem_worker.messages import RequestTimes
from llem_worker.settings import nest

_CALL_KEYWORDS = ("warmup", "persistent_manager")


def run(model: Any, rows: list[list[int]], config: GenerationConfig, packing: dict[str, Any]) -> list[Any]:
    """Generates for all rows and returns their outputs in order."""
    tree = nest(packing)
    call = {name: tree.pop(name) for name in _CALL_KEYWORDS if name in tree}
    for name in ("varlen_compile_config", "decode_compile_config"):
        if isinstance(tree.get(name), dict):
            tree[name] = CompileConfig(**tree[name])
    try:
        batching = ContinuousBatchingConfig(**tree)
    except TypeError as error:
        raise WorkerFailure(BAD_PARAMETER, f"continuous batching: {error}") from error
    outputs = model.generate_batch(
        rows,
        generation_config=config,
        continuous_batching_config=batching,
        record_timestamps=True,
        progress_bar=False,
        **call,
    )
    if len(outputs) != len(rows):
        raise WorkerFailure(CRASH, f"{len(rows) - len(outputs)} of {len(rows)} requests were lost", fatal=True)
    errors = [output.error for output in outputs.values() if output.error]
    if errors:
        raise WorkerFailure(kind_of(RuntimeError(errors[0])), f"{len(errors)} requests failed: {errors[0]}", fatal=True)
    return list(outputs.values())


def times_of(output: Any, max_tokens: int) -> RequestTimes:
    """Times and counts of one output."""
    made = len(output.generated_tokens)
    stamps = output.timestamps or []
    finish = "length" if made >= max_tokens else "stop"
    return RequestTimes(
        input_tokens=len(output.prompt_ids),
        output_tokens=made,
        scheduled_ns=_ns(output.created_time),
        first_token_ns=_ns(stamps[0]) if stamps else None,
        last_token_ns=_ns(stamps[-1]) if stamps else None,
        finish=finish,
    )


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
