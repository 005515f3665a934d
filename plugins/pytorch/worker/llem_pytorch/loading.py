"""Loads a model: from a hub, a directory, a GGUF file, or as random weights of a configuration.

Which keyword reaches which function of transformers is decided here and nowhere else.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from llem_worker.failures import BAD_PARAMETER, MODEL_NOT_FOUND, UNSUPPORTED_HARDWARE, WorkerFailure
from llem_worker.settings import Settings, nest

from . import quantization

RANDOM = "random"
FILE = "file"

# What `from_config` understands too; the rest belongs to loading weights.
_CONFIG_KEYWORDS = ("attn_implementation", "experts_implementation", "trust_remote_code", "dtype")


@dataclass
class Source:
    """Where the model is and how a tokenizer of it is found."""

    directory: str
    kind: str
    keywords: dict[str, Any]


def load(model: str, seed: int, settings: Settings) -> tuple[Any, Source]:
    """Loads the model of a `load` message and returns it in evaluation mode."""
    source = _source(model, settings)
    config = quantization.take(settings)
    keywords = nest(settings.take_section("engine"))
    kernels = keywords.pop("kernel_config", None)
    if kernels is not None:
        keywords["kernel_config"] = transformers.KernelConfig(**kernels)
    keywords.setdefault("dtype", "auto")
    if keywords["dtype"] != "auto" and not isinstance(getattr(torch, keywords["dtype"], None), torch.dtype):
        raise WorkerFailure(BAD_PARAMETER, f"torch has no dtype: `{keywords['dtype']}`")
    device_map = keywords.pop("device_map", None)
    if isinstance(keywords.get("max_memory"), dict):
        # JSON has text keys only; a GPU's key is its number.
        limits = keywords["max_memory"]
        keywords["max_memory"] = {int(name) if name.isdigit() else name: size for name, size in limits.items()}
    settings.finish()
    if source.kind == RANDOM:
        network = _random(source, seed, keywords, device_map, config)
    else:
        if config is not None:
            keywords["quantization_config"] = config
        network = AutoModelForCausalLM.from_pretrained(
            source.directory, device_map=placement(device_map), **source.keywords, **keywords
        )
    return network.eval(), source


def placement(device_map: Any) -> Any:
    """Where the model goes: as asked, else the first GPU, else the CPU."""
    if device_map is None:
        return {"": 0} if torch.cuda.is_available() else "cpu"
    wanted = device_map if isinstance(device_map, str) else ""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise WorkerFailure(UNSUPPORTED_HARDWARE, "`device_map` asks for CUDA, but torch sees no GPU")
    return device_map


def _source(model: str, settings: Settings) -> Source:
    kind = settings.take("model.source", "directory")
    keywords = {
        name: value
        for name in ("revision", "subfolder", "trust_remote_code")
        if (value := settings.take(f"engine.{name}")) is not None
    }
    if kind == FILE:
        if not os.path.isfile(model):
            raise WorkerFailure(MODEL_NOT_FOUND, f"no model file at: {model}")
        return Source(os.path.dirname(model) or ".", kind, {**keywords, "gguf_file": os.path.basename(model)})
    if kind in (RANDOM, "directory") and not os.path.isdir(model):
        raise WorkerFailure(MODEL_NOT_FOUND, f"no model directory at: {model}")
    return Source(model, kind, keywords)


def _random(source: Source, seed: int, keywords: dict[str, Any], device_map: Any, quantized: Any) -> Any:
    """A model of a configuration with seeded random weights, drawn on the device itself."""
    loading = {name: value for name, value in keywords.items() if name in _CONFIG_KEYWORDS}
    refused = sorted(set(keywords) - set(loading) - {"kernel_config", "use_kernels", "allow_all_kernels"})
    if refused:
        names = ", ".join(f"`engine.{name}`" for name in refused)
        raise WorkerFailure(BAD_PARAMETER, f"random weights have no use for: {names}")
    config = AutoConfig.from_pretrained(source.directory, **source.keywords)
    if loading["dtype"] == "auto":
        loading["dtype"] = config.dtype or torch.float32
    where = placement(device_map)
    if isinstance(where, str) and where not in ("cpu", "cuda"):
        raise WorkerFailure(BAD_PARAMETER, f"random weights go to one device, found `device_map`: {where}")
    device = torch.device("cuda", 0) if where == {"": 0} or where == "cuda" else torch.device("cpu")
    torch.manual_seed(seed)
    with device:
        network = AutoModelForCausalLM.from_config(config, **loading)
    if quantized is None:
        return network.to(device)
    with tempfile.TemporaryDirectory(dir=".") as directory:
        network.save_pretrained(directory)
        del network
        return AutoModelForCausalLM.from_pretrained(
            directory, device_map=where, quantization_config=quantized, **_without(loading, "trust_remote_code")
        )


def _without(keywords: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in keywords.items() if key != name}
