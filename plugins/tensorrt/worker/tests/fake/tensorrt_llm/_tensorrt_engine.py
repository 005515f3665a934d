"""The LLM class of the engine backend."""

from . import LLM as _LLM


class LLM(_LLM):
    """Told apart by its type only."""
