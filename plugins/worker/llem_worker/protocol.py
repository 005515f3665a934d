"""The two descriptors of `llem-batch/1`: JSON lines in on standard input, out on standard output.

`Channel.take_over` must run before the engine is imported: it keeps private copies of both
descriptors and points standard output at standard error, so that nothing an engine or its
children print can reach the protocol. What the messages mean is none of its business.
"""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO

from .failures import PROTOCOL, WorkerFailure

MAX_LINE_BYTES = 16 * 1024 * 1024


class Channel:
    """Reads and writes one JSON object a line."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    @classmethod
    def take_over(cls) -> Channel:
        """Takes the process's descriptors 0 and 1 for the protocol.

        The copies are closed in programs that children execute.
        """
        source, sink = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        return cls(os.fdopen(source, "rb"), os.fdopen(sink, "wb", buffering=0))

    def receive(self) -> Any | None:
        """The next line's JSON, or None where the host has closed its end."""
        line = self._source.readline(MAX_LINE_BYTES + 1)
        if not line:
            return None
        if len(line) > MAX_LINE_BYTES:
            raise WorkerFailure(PROTOCOL, f"a line exceeds {MAX_LINE_BYTES} bytes", fatal=True)
        try:
            return json.loads(line)
        except ValueError as error:
            raise WorkerFailure(PROTOCOL, f"a line is no JSON: {error}") from error

    def send(self, body: dict[str, Any]) -> None:
        """Writes one object as a line."""
        line = json.dumps(body, separators=(",", ":"), default=str).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise WorkerFailure(PROTOCOL, f"an event exceeds {MAX_LINE_BYTES} bytes", fatal=True)
        view = memoryview(line)
        while view:
            view = view[self._sink.write(view) :]
