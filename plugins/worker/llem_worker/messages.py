"""The messages of `llem-batch/1` as typed values.

Unknown fields are ignored, unknown messages and wrong types are refused. Reading and writing the
descriptors is the business of `protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Union

from .failures import PROTOCOL, WorkerFailure


@dataclass(frozen=True)
class Load:
    """Load a model, with load-phase settings by their path."""

    model: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Generate:
    """Generate for a batch of prompts: token ids or texts, exactly one of the two."""

    id: int
    max_tokens: int
    exact: bool
    prompts: list[list[int]] | None = None
    texts: list[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    return_text: bool = False

    def count(self) -> int:
        """How many prompts there are."""
        return len(self.prompts if self.prompts is not None else self.texts or [])


@dataclass(frozen=True)
class Quit:
    """End the worker."""


Message = Union[Load, Generate, Quit]


@dataclass
class Loaded:
    """What an engine says after it has loaded a model."""

    version: str
    effective: dict[str, Any]
    memory_bytes: int | None = None


@dataclass
class RequestTimes:
    """Times and counts of one request; padding and finished rows are no output tokens."""

    input_tokens: int
    output_tokens: int
    scheduled_ns: int
    first_token_ns: int | None
    last_token_ns: int | None
    finish: str
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire form; the text only where there is one."""
        body = {key: value for key, value in vars(self).items() if key != "text"}
        return body if self.text is None else {**body, "text": self.text}


def parse(body: Any) -> Message:
    """Makes a message of decoded JSON."""
    if not isinstance(body, dict):
        raise WorkerFailure(PROTOCOL, f"expected a JSON object, found {type(body).__name__}")
    op = body.get("op")
    if op == "load":
        return Load(
            model=_typed(body, "model", str),
            seed=_typed(body, "seed", int),
            settings=_typed(body, "settings", dict, {}),
        )
    if op == "generate":
        return _parse_generate(body)
    if op == "quit":
        return Quit()
    raise WorkerFailure(PROTOCOL, f"unknown message `{op}`; known are `load`, `generate` and `quit`")


def _parse_generate(body: dict[str, Any]) -> Generate:
    prompts, texts = body.get("prompts"), body.get("texts")
    if (prompts is None) == (texts is None):
        raise WorkerFailure(PROTOCOL, "`generate` needs either `prompts` or `texts`")
    if prompts is not None and not all(
        isinstance(row, list) and row and all(type(token) is int and token >= 0 for token in row)
        for row in _typed(body, "prompts", list)
    ):
        raise WorkerFailure(PROTOCOL, "`prompts` must be non-empty lists of token ids")
    if texts is not None and not all(isinstance(text, str) for text in _typed(body, "texts", list)):
        raise WorkerFailure(PROTOCOL, "`texts` must be a list of strings")
    request = Generate(
        id=_typed(body, "id", int),
        max_tokens=_typed(body, "max_tokens", int),
        exact=_typed(body, "exact", bool),
        prompts=prompts,
        texts=texts,
        settings=_typed(body, "settings", dict, {}),
        return_text=_typed(body, "return_text", bool, False),
    )
    if request.count() == 0 or request.max_tokens < 1:
        raise WorkerFailure(PROTOCOL, "`generate` needs at least one prompt and one output token")
    return request


_MISSING = object()


def _typed(body: dict[str, Any], key: str, kind: type, default: Any = _MISSING) -> Any:
    value = body.get(key, default)
    if value is _MISSING:
        raise WorkerFailure(PROTOCOL, f"`{body.get('op')}` lacks `{key}`")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WorkerFailure(PROTOCOL, f"`{key}` must be {kind.__name__}, found {type(value).__name__}")
    return value
