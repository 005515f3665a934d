"""Settings of torch itself: threads, precision, kernels, inductor.

Applied once, before a model is loaded, and read back afterwards. Knows nothing of transformers.
"""

from __future__ import annotations

from typing import Any, Callable

import torch

from llem_worker.failures import BAD_PARAMETER, WorkerFailure
from llem_worker.settings import Settings

# Where a switch is a pair of functions; everything below `torch.backends` is a plain attribute.
_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any]]] = {
    "num_threads": (torch.set_num_threads, torch.get_num_threads),
    "num_interop_threads": (torch.set_num_interop_threads, torch.get_num_interop_threads),
    "float32_matmul_precision": (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision),
    "use_deterministic_algorithms": (
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled,
    ),
    "backends.cuda.enable_flash_sdp": (
        torch.backends.cuda.enable_flash_sdp,
        torch.backends.cuda.flash_sdp_enabled,
    ),
    "backends.cuda.enable_mem_efficient_sdp": (
        torch.backends.cuda.enable_mem_efficient_sdp,
        torch.backends.cuda.mem_efficient_sdp_enabled,
    ),
    "backends.cuda.enable_math_sdp": (torch.backends.cuda.enable_math_sdp, torch.backends.cuda.math_sdp_enabled),
    "backends.cuda.enable_cudnn_sdp": (torch.backends.cuda.enable_cudnn_sdp, torch.backends.cuda.cudnn_sdp_enabled),
}

_ATTRIBUTES = (
    "backends.cuda.matmul.allow_tf32",
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "backends.cudnn.allow_tf32",
    "backends.cudnn.benchmark",
)


class Switches:
    """The switches of one worker: what was asked, what is in force, how `forward` is compiled."""

    def __init__(self, settings: Settings) -> None:
        self._asked = settings.take_section("torch")
        self.compile = {
            name.removeprefix("compile."): self._asked.pop(name)
            for name in list(self._asked)
            if name.startswith("compile.")
        }
        self._inductor = {
            name.removeprefix("inductor."): self._asked.pop(name)
            for name in list(self._asked)
            if name.startswith("inductor.")
        }

    def apply(self) -> None:
        """Puts every switch into force; an unknown one is refused."""
        for name, value in self._asked.items():
            if name in _FUNCTIONS:
                _FUNCTIONS[name][0](value)
            elif name in _ATTRIBUTES:
                owner, attribute = _owner(torch, name)
                setattr(owner, attribute, value)
            else:
                raise WorkerFailure(BAD_PARAMETER, f"torch has no switch `torch.{name}` that the worker knows")
        if self._inductor:
            from torch._inductor import config

            for name, value in self._inductor.items():
                owner, attribute = _owner(config, name)
                if not hasattr(owner, attribute):
                    raise WorkerFailure(BAD_PARAMETER, f"inductor has no setting `{name}`")
                setattr(owner, attribute, value)

    def effective(self) -> dict[str, Any]:
        """What is in force now, by path."""
        found: dict[str, Any] = {}
        for name, (_, read) in _FUNCTIONS.items():
            found[f"torch.{name}"] = read()
        for name in _ATTRIBUTES:
            owner, attribute = _owner(torch, name)
            found[f"torch.{name}"] = getattr(owner, attribute)
        if self._inductor:
            from torch._inductor import config

            for name in self._inductor:
                owner, attribute = _owner(config, name)
                found[f"torch.inductor.{name}"] = getattr(owner, attribute)
        found.update({f"torch.compile.{name}": value for name, value in self.compile.items()})
        return found


def _owner(root: Any, path: str) -> tuple[Any, str]:
    *parents, attribute = path.split(".")
    for name in parents:
        root = getattr(root, name)
    return root, attribute
