"""Reads back what transformers and torch really use, by setting path."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from .switches import Switches


def read(model: Any, switches: Switches, runner: dict[str, Any]) -> dict[str, Any]:
    """The effective settings of a loaded model."""
    found = {f"engine.{name}": value for name, value in runner.items()}
    found.update(switches.effective())
    config = model.config
    found["engine.dtype"] = str(model.dtype).removeprefix("torch.")
    found["engine.attn_implementation"] = getattr(config, "_attn_implementation", None)
    experts = getattr(config, "_experts_implementation", None)
    if experts is not None:
        found["engine.experts_implementation"] = experts
    found["engine.device_map"] = _placement(model)
    found["quantization.method"] = _quantization(model)
    found["model.class"] = type(model).__name__
    found["model.parameters"] = sum(weight.numel() for weight in model.parameters())
    found["model.vocab_size"] = getattr(config.get_text_config(), "vocab_size", None)
    found["model.max_position_embeddings"] = getattr(config.get_text_config(), "max_position_embeddings", None)
    found["env.python"] = ".".join(str(part) for part in sys.version_info[:3])
    found["env.torch"] = torch.__version__
    found["env.cuda"] = torch.version.cuda if torch.cuda.is_available() else None
    if model.device.type == "cuda":
        found["env.gpu"] = torch.cuda.get_device_name(model.device)
    found["env.cpu_count"] = os.cpu_count()
    return found


def _placement(model: Any) -> Any:
    placed = getattr(model, "hf_device_map", None)
    if placed and len(set(placed.values())) > 1:
        return {name: str(device) for name, device in placed.items()}
    # The first device goes by its type, as a study names it.
    return model.device.type if model.device.index in (None, 0) else str(model.device)


def _quantization(model: Any) -> str | None:
    config = getattr(model.config, "quantization_config", None)
    if config is None:
        return None
    method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
    return str(getattr(method, "value", method))
