"""Where a parameter of an extraction report stands in a plugin's parameter space.

One function an engine. A path is a section and the engine's own spelling; everything that a study
may set of one configuration object stands below that object's name.
"""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]

_SAMPLING_GROUPS = {"length", "strategy", "logits", "special_tokens", "encoder_decoder"}


def pytorch(record: Record) -> str:
    """`engine`, `sampling`, `generation`, `quantization`, `continuous_batching`, `cache`, `torch`, …"""
    section, group, name = record["section"], record["group"], record["name"]
    if section == "generation":
        if group.endswith("WatermarkingConfig"):
            return f"generation.{group}.{name}"
        return f"{'sampling' if group in _SAMPLING_GROUPS else 'generation'}.{name}"
    if section == "generate_call":
        parent = {
            "GenerationMixin.generate": "generation",
            "ContinuousMixin.generate_batch": "continuous_batching",
        }.get(group, "continuous_batching.manager")
        return f"{parent}.{name}"
    if section == "torch":
        return _torch(group, name)
    parents = {
        "compile": "generation.compile_config",
        "distributed": "distributed",
        "quantization": f"quantization.{group}",
        "from_pretrained": "engine",
        "cache": f"cache.{group}",
        "kernels": "engine.kernel_config",
        "serve": "server",
        "runner": "engine",
        "env": "env",
        "continuous_batching": "continuous_batching.workload_hints"
        if group == "WorkloadHints"
        else "continuous_batching",
    }
    return f"{parents[section]}.{name}"


def _torch(group: str, name: str) -> str:
    if group == "torch.compile":
        return f"torch.compile.{name}"
    if group == "inductor":
        return f"torch.inductor.{name}"
    return f"torch.backends.{name}" if name.startswith(("cuda.", "cudnn.")) else f"torch.{name}"


def vllm(record: Record) -> str:
    """`engine`, `server`, `sampling`, `request`, `env`."""
    section, group, name = record["section"], record["group"], record["name"]
    if section == "engine_args":
        return f"engine.{name}"
    if section == "server_args":
        return f"server.{name}"
    if section == "nested_config":
        return f"engine.{record['path']}"
    if section == "sampling_params":
        parent = {
            "SamplingParams": "sampling",
            "StructuredOutputsParams": "sampling.structured_outputs",
            "RepetitionDetectionParams": "sampling.repetition_detection",
            "BeamSearchParams": "sampling.beam_search",
        }[group]
        return f"{parent}.{name}"
    if section == "request":
        return f"{'chat' if group.startswith('Chat') else 'completion'}.{name}"
    return f"env.{name}"


def tensorrt(record: Record) -> str:
    """`engine`, `sampling`, `server`, `build`, `trtllm_build`, `env`."""
    section, group, name = record["section"], record["group"], record["name"]
    if section == "llm_args":
        return f"engine.{name}"
    if section == "nested_config":
        return f"engine.{record['path']}"
    if section == "sampling_params":
        return f"{'sampling.guided_decoding' if group == 'GuidedDecodingParams' else 'sampling'}.{name}"
    if section == "serve_args":
        return f"server.{name}"
    if section == "build":
        parent = {"BuildConfig": "build", "PluginConfig": "build.plugin_config", "trtllm-build": "trtllm_build"}[group]
        return f"{parent}.{name}"
    return f"env.{name}"
