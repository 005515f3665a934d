"""Makes the objects that `generate` wants out of plain settings.

The checkpoint's own generation defaults are left out on purpose: what a study does not set is
the library's default, the same for every model.
"""

from __future__ import annotations

from typing import Any, Mapping

from transformers import CompileConfig, GenerationConfig

from llem_worker.failures import BAD_PARAMETER, WorkerFailure
from llem_worker.settings import Settings, nest

# Objects that a study writes as a section of plain values.
_OBJECTS = {"compile_config": CompileConfig}


def special_tokens(model: Any) -> dict[str, Any]:
    """The special tokens of a model; every batch needs one to pad with."""
    known = {}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = getattr(model.generation_config, name, None)
        known[name] = value if value is not None else getattr(model.config, name, None)
    if known["pad_token_id"] is None:
        eos = known["eos_token_id"]
        known["pad_token_id"] = (eos[0] if isinstance(eos, list) else eos) or 0
    return known


def stop_tokens(config: GenerationConfig) -> list[int]:
    """The tokens that end a sequence."""
    eos = config.eos_token_id
    return [] if eos is None else list(eos) if isinstance(eos, (list, tuple)) else [eos]


def build(settings: Mapping[str, Any], tokens: dict[str, Any], max_tokens: int, exact: bool) -> GenerationConfig:
    """The generation config of one batch."""
    left = Settings(settings)
    flat = {**left.take_section("sampling"), **left.take_section("generation")}
    quantized_cache = left.take_section("cache.QuantizedCache")
    left.finish()
    tree = nest(flat)
    if quantized_cache:
        tree["cache_config"] = {**tree.get("cache_config", {}), **quantized_cache}
    watermark = tree.pop("WatermarkingConfig", None)
    synthid = tree.pop("SynthIDTextWatermarkingConfig", None)
    if watermark and synthid:
        raise WorkerFailure(BAD_PARAMETER, "only one of the two watermarking configs can be used")
    if watermark or synthid:
        import transformers

        kind = "WatermarkingConfig" if watermark else "SynthIDTextWatermarkingConfig"
        tree["watermarking_config"] = getattr(transformers, kind)(**(watermark or synthid))
    for name, kind in _OBJECTS.items():
        if isinstance(tree.get(name), dict):
            tree[name] = kind(**tree[name])
    unknown = [name for name in tree if not hasattr(GenerationConfig(), name)]
    if unknown:
        names = ", ".join(f"`{name}`" for name in sorted(unknown))
        raise WorkerFailure(BAD_PARAMETER, f"this transformers has no generation setting: {names}")
    lengths = {"max_new_tokens": max_tokens, **({"min_new_tokens": max_tokens} if exact else {})}
    return GenerationConfig(**{**tokens, **tree, **lengths})
