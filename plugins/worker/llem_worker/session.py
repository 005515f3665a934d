"""The conversation of one worker: load once, generate any number of times, quit.

Calls the engine and turns what it returns or raises into events. How an engine loads and
generates is its own business, and so is synchronising its device before `Report.begin` and
before it returns.
"""

from __future__ import annotations

import sys
import traceback
from typing import Protocol

from . import failures, messages, timing
from .failures import PROTOCOL, WorkerFailure
from .messages import Generate, Load, Loaded, Quit, RequestTimes
from .protocol import Channel


class Report:
    """Where an engine reports the progress of one batch."""

    def __init__(self, channel: Channel, batch: int) -> None:
        self._channel = channel
        self._batch = batch
        self._steps: timing.StepBatcher | None = None

    def begin(self) -> int:
        """Says that work starts now; the device must be idle. Returns the time it said."""
        at_ns = timing.now_ns()
        self._channel.send({"ev": "begin", "id": self._batch, "at_ns": at_ns})
        self._steps = timing.StepBatcher(self._send_step, at_ns)
        return at_ns

    def step(self, prefill: int, decode: int, running: int, at_ns: int) -> None:
        """Counts tokens that were processed and made by `at_ns`, with `running` requests left."""
        if self._steps is None:
            raise WorkerFailure(PROTOCOL, "the engine reported a step before it began")
        self._steps.add(prefill, decode, running, at_ns)

    def end(self, requests: list[RequestTimes]) -> None:
        """Says that the batch has ended; the device must be idle."""
        at_ns = timing.now_ns()
        if self._steps is None:
            raise WorkerFailure(PROTOCOL, "the engine ended a batch that it never began")
        self._steps.flush()
        body = [request.to_json() for request in requests]
        self._channel.send({"ev": "end", "id": self._batch, "at_ns": at_ns, "requests": body})

    def _send_step(self, prefill: int, decode: int, running: int, at_ns: int) -> None:
        self._channel.send(
            {
                "ev": "step",
                "id": self._batch,
                "at_ns": at_ns,
                "prefill_tokens": prefill,
                "decode_tokens": decode,
                "running": running,
            }
        )


class Engine(Protocol):
    """What an engine's package implements."""

    name: str

    def load(self, request: Load) -> Loaded:
        """Loads the model and synchronises the device."""

    def generate(self, request: Generate, report: Report) -> None:
        """Generates for one batch between `report.begin()` and `report.end()`."""

    def close(self) -> None:
        """Frees the device."""


def run(channel: Channel, engine: Engine) -> int:
    """Serves the host until it quits or goes away; returns the exit code."""
    loaded = False
    while True:
        try:
            body = channel.receive()
            if body is None:
                return 0
            message = messages.parse(body)
            if isinstance(message, Quit):
                engine.close()
                channel.send({"ev": "bye"})
                return 0
            if isinstance(message, Load):
                if loaded:
                    raise WorkerFailure(PROTOCOL, "a model is loaded already")
                _load(channel, engine, message)
                loaded = True
            elif not loaded:
                raise WorkerFailure(PROTOCOL, "`generate` came before `load`")
            else:
                engine.generate(message, Report(channel, message.id))
        except Exception as error:  # everything an engine raises becomes an event
            if _report_failure(channel, error, loaded):
                return 1


def _load(channel: Channel, engine: Engine, request: Load) -> None:
    done = engine.load(request)
    channel.send(
        {
            "ev": "loaded",
            "engine": engine.name,
            "version": done.version,
            "effective": done.effective,
            "memory_bytes": done.memory_bytes,
            "at_ns": timing.now_ns(),
        }
    )


def _report_failure(channel: Channel, error: Exception, loaded: bool) -> bool:
    """Sends the error event; true where the worker can't go on."""
    kind = failures.kind_of(error)
    if kind != PROTOCOL:
        traceback.print_exc(file=sys.stderr)
    if isinstance(error, WorkerFailure):
        fatal = error.fatal or (not loaded and kind != PROTOCOL)
    else:
        fatal = not loaded or kind not in (failures.BAD_PARAMETER, failures.OUT_OF_MEMORY)
    channel.send({"ev": "error", "kind": kind, "message": failures.message_of(error), "fatal": fatal})
    return fatal
