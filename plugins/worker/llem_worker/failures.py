"""Tells failures apart by kind.

The kinds are those of the protocol. Engines raise a `WorkerFailure` where they know the kind, and
everything else is classified by the type and text of the exception. No recovery happens here.
"""

from __future__ import annotations

OUT_OF_MEMORY = "out-of-memory"
MODEL_NOT_FOUND = "model-not-found"
GATED_MODEL = "gated-model"
BAD_PARAMETER = "bad-parameter"
UNSUPPORTED_HARDWARE = "unsupported-hardware"
PROTOCOL = "protocol"
CRASH = "crash"

# First match wins, so the texts that only one kind of failure produces stand first.
_TEXTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        OUT_OF_MEMORY,
        (
            "out of memory",
            "cannot allocate memory",
            "can't allocate memory",
            "no available memory for the cache blocks",
            "free memory on device",
            "larger than the maximum number of tokens that can be stored in kv cache",
        ),
    ),
    (GATED_MODEL, ("gated repo", "is restricted", "awaiting a review", "401 client error", "403 client error")),
    (
        MODEL_NOT_FOUND,
        (
            "not a valid model identifier",
            "repository not found",
            "can't load the configuration of",
            "couldn't connect to 'https://huggingface.co'",
            "we couldn't connect to",
            "cannot find the requested files in the",
            "no such file or directory",
            "does not appear to have a file named",
            "no file named",
        ),
    ),
    (
        UNSUPPORTED_HARDWARE,
        (
            "no kernel image is available",
            "compute capability",
            "not compiled with cuda",
            "no cuda gpus are available",
            "found no nvidia driver",
            "is not supported on this gpu",
            "device kernel image is invalid",
            "only supported on gpu",
            "requires a gpu",
            "gpu is required",
        ),
    ),
)

_TYPES: dict[str, str] = {
    "OutOfMemoryError": OUT_OF_MEMORY,
    "MemoryError": OUT_OF_MEMORY,
    "GatedRepoError": GATED_MODEL,
    "RepositoryNotFoundError": MODEL_NOT_FOUND,
    "RevisionNotFoundError": MODEL_NOT_FOUND,
    "LocalEntryNotFoundError": MODEL_NOT_FOUND,
    "EntryNotFoundError": MODEL_NOT_FOUND,
    "HFValidationError": MODEL_NOT_FOUND,
    "FileNotFoundError": MODEL_NOT_FOUND,
    "NotADirectoryError": MODEL_NOT_FOUND,
    "ValidationError": BAD_PARAMETER,
    "ImportError": BAD_PARAMETER,
    "ModuleNotFoundError": BAD_PARAMETER,
    "PackageNotFoundError": BAD_PARAMETER,
    "ValueError": BAD_PARAMETER,
    "TypeError": BAD_PARAMETER,
    "NotImplementedError": BAD_PARAMETER,
}

_LONGEST_MESSAGE = 4000


class WorkerFailure(Exception):
    """A failure whose kind is known where it is raised."""

    def __init__(self, kind: str, message: str, fatal: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.fatal = fatal


def kind_of(error: BaseException) -> str:
    """The kind of an exception, following its causes where it says nothing itself."""
    if isinstance(error, WorkerFailure):
        return error.kind
    seen: set[int] = set()
    cause: BaseException | None = error
    by_type: str | None = None
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = str(cause).lower()
        for name in (kind.__name__ for kind in type(cause).__mro__):
            if _TYPES.get(name) in (OUT_OF_MEMORY, GATED_MODEL, MODEL_NOT_FOUND):
                return _TYPES[name]
            by_type = by_type or _TYPES.get(name)
        for kind, texts in _TEXTS:
            if any(part in text for part in texts):
                return kind
        cause = cause.__cause__ or cause.__context__
    return by_type or CRASH


def message_of(error: BaseException) -> str:
    """One text for people: the exception's own words, after its type where that adds something."""
    text = str(error).strip() or "no message"
    if not isinstance(error, WorkerFailure):
        text = f"{type(error).__name__}: {text}"
    return text[:_LONGEST_MESSAGE]
