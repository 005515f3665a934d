"""Settings by path, taken one by one so that none is left over unseen.

An engine takes what it knows and calls `finish`: a setting that nobody took would otherwise be
measured as if it had an effect.
"""

from __future__ import annotations

from typing import Any, Mapping

from .failures import BAD_PARAMETER, WorkerFailure


class Settings:
    """The settings of one message, by path (`engine.dtype`)."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._left = dict(values)

    def take(self, path: str, default: Any = None) -> Any:
        """Removes and returns one setting."""
        return self._left.pop(path, default)

    def take_section(self, prefix: str) -> dict[str, Any]:
        """Removes and returns all settings below a prefix, by the rest of their path."""
        start = prefix + "."
        paths = [path for path in self._left if path.startswith(start)]
        return {path[len(start) :]: self._left.pop(path) for path in paths}

    def finish(self) -> None:
        """Refuses whatever nobody took."""
        if self._left:
            names = ", ".join(f"`{path}`" for path in sorted(self._left))
            raise WorkerFailure(BAD_PARAMETER, f"the worker does not know the setting: {names}")


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Makes nested dictionaries of dotted keys: `a.b` = 1 becomes `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split(".")
        node = tree
        for name in parents:
            child = node.setdefault(name, {})
            if not isinstance(child, dict):
                raise WorkerFailure(BAD_PARAMETER, f"`{path}` lies below a value, not below a section")
            node = child
        if isinstance(value, dict) and isinstance(node.get(last), dict):
            node[last].update(value)
        else:
            node[last] = value
    return tree
