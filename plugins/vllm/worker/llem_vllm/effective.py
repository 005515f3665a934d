"""Reads back what vLLM resolved, by setting path.

Every attribute is looked up by name and left out where this version has none: names inside
`VllmConfig` move between releases.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

# Setting path, then where `VllmConfig` keeps its resolved value.
_ATTRIBUTES = {
    "engine.dtype": "model_config.dtype",
    "engine.max_model_len": "model_config.max_model_len",
    "engine.quantization": "model_config.quantization",
    "engine.enforce_eager": "model_config.enforce_eager",
    "engine.seed": "model_config.seed",
    "engine.skip_tokenizer_init": "model_config.skip_tokenizer_init",
    "engine.load_format": "load_config.load_format",
    "engine.block_size": "cache_config.block_size",
    "engine.kv_cache_dtype": "cache_config.cache_dtype",
    "engine.enable_prefix_caching": "cache_config.enable_prefix_caching",
    "engine.gpu_memory_utilization": "cache_config.gpu_memory_utilization",
    "engine.kv_cache_memory_bytes": "cache_config.kv_cache_memory_bytes",
    "engine.max_num_seqs": "scheduler_config.max_num_seqs",
    "engine.max_num_batched_tokens": "scheduler_config.max_num_batched_tokens",
    "engine.enable_chunked_prefill": "scheduler_config.enable_chunked_prefill",
    "engine.async_scheduling": "scheduler_config.async_scheduling",
    "engine.scheduling_policy": "scheduler_config.policy",
    "engine.tensor_parallel_size": "parallel_config.tensor_parallel_size",
    "engine.pipeline_parallel_size": "parallel_config.pipeline_parallel_size",
    "engine.data_parallel_size": "parallel_config.data_parallel_size",
    "engine.enable_expert_parallel": "parallel_config.enable_expert_parallel",
    "engine.attention_config.backend": "attention_config.backend",
    "engine.compilation_config.mode": "compilation_config.mode",
    "engine.compilation_config.cudagraph_mode": "compilation_config.cudagraph_mode",
    "engine.compilation_config.custom_ops": "compilation_config.custom_ops",
    "engine.optimization_level": "optimization_level",
    "kv_cache.blocks": "cache_config.num_gpu_blocks",
}


# Enumerations whose number is what a study gives.
_NUMBERS = ("engine.optimization_level",)


def read(config: Any) -> dict[str, Any]:
    """The effective settings of a `VllmConfig`."""
    found: dict[str, Any] = {}
    for path, where in _ATTRIBUTES.items():
        value, known = config, True
        for name in where.split("."):
            known = known and hasattr(value, name)
            value = getattr(value, name, None)
        if known:
            found[path] = int(value) if path in _NUMBERS and value is not None else plain(value)
    return found


def plain(value: Any) -> Any:
    """A value as JSON has it: an enum's name, a torch type's name."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return str(value).removeprefix("torch.")
