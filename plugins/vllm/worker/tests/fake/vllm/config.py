"""One nested config, to check names against."""

from dataclasses import dataclass


@dataclass
class CompilationConfig:
    """A stand-in with two fields."""

    mode: int = 0
    cudagraph_mode: str = "NONE"
