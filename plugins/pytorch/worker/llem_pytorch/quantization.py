"""Builds a quantisation config object from settings.

transformers wants an object of the method's class, and torchao's method wants one more object
inside it; a study can only hold plain values.
"""

from __future__ import annotations

from typing import Any

import transformers

from llem_worker.failures import BAD_PARAMETER, WorkerFailure
from llem_worker.settings import Settings, nest


def take(settings: Settings) -> Any | None:
    """Takes the section `quantization`; None where the study does not quantise."""
    tree = nest(settings.take_section("quantization"))
    chosen = tree.pop("config_class", None)
    if len(tree) > 1 or (chosen and tree and chosen not in tree):
        given = ", ".join(f"`{name}`" for name in sorted({*tree, *([chosen] if chosen else [])}))
        raise WorkerFailure(BAD_PARAMETER, f"settings of more than one quantisation method: {given}")
    name = chosen or next(iter(tree), None)
    if name is None:
        return None
    kind = getattr(transformers, name, None)
    if kind is None:
        raise WorkerFailure(BAD_PARAMETER, f"transformers {transformers.__version__} has no `{name}`")
    arguments = tree.get(name, {})
    if name == "TorchAoConfig":
        arguments["quant_type"] = _torchao_type(arguments.get("quant_type"), arguments.pop("quant_type_kwargs", {}))
    return kind(**arguments)


def _torchao_type(name: Any, arguments: dict[str, Any]) -> Any:
    try:
        import torchao.quantization as torchao
    except ImportError as error:
        raise WorkerFailure(BAD_PARAMETER, "`TorchAoConfig` needs the package `torchao`") from error
    kind = getattr(torchao, str(name), None)
    if kind is None:
        raise WorkerFailure(
            BAD_PARAMETER,
            f"`quant_type` must name a config class of torchao.quantization, found `{name}`"
            " (for example: `Int8WeightOnlyConfig`)",
        )
    return kind(**arguments)
