"""Renders records as the rows of a plugin's `SchemaTable`.

The output is one Rust array expression a file, one row a line, which the plugin includes: no
parsing at run time, and a row that breaks a type does not compile.
"""

from __future__ import annotations

import json
from typing import Any, Iterable

Record = dict[str, Any]


def text(value: str) -> str:
    """A string literal."""
    return json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """A float literal."""
    return f"{float(value):_}" if abs(value) >= 10_000 else repr(float(value))


def integer(value: int) -> str:
    """An integer literal, its digits in groups."""
    return f"{value:_}" if abs(value) >= 10_000 else str(value)


def val(value: Any, wanted: str | None = None) -> str:
    """A `Val`; `wanted` tells integers of a number parameter apart from integers."""
    if value is None:
        return "Val::Null"
    if isinstance(value, bool):
        return f"Val::Bool({str(value).lower()})"
    if isinstance(value, float) or (isinstance(value, int) and wanted == "float"):
        return f"Val::Num({number(value)})"
    if isinstance(value, int):
        return f"Val::Int({integer(value)})"
    if isinstance(value, str):
        return f"Val::Text({text(value)})"
    return f"Val::Json({text(json.dumps(value, separators=(', ', ': ')))})"


def option(value: str | None) -> str:
    """An `Option` of an already rendered value."""
    return "None" if value is None else f"Some({value})"


def param_type(kind: Record, scale: str) -> str:
    """One accepted type."""
    name = kind["type"]
    if kind.get("choices"):
        return choices(kind["choices"], name)
    if name == "bool":
        return "Type::Boolean"
    if name == "int":
        low, high = integer_bounds(kind)
        return (
            f"Type::Integer {{ min: {option(low)}, max: {option(high)},"
            f" multiple_of: None, scale: Scale::{scale} }}"
        )
    if name == "float":
        low = kind.get("minimum", kind.get("exclusive_minimum"))
        high = kind.get("maximum", kind.get("exclusive_maximum"))
        return (
            f"Type::Number {{ min: {option(None if low is None else number(low))},"
            f" max: {option(None if high is None else number(high))},"
            f" exclusive_min: {str('exclusive_minimum' in kind).lower()},"
            f" exclusive_max: {str('exclusive_maximum' in kind).lower()}, scale: Scale::{scale} }}"
        )
    if name == "list":
        item = kind.get("items") or {"type": "any"}
        rendered = "Type::Object" if item["type"] == "list" else param_type(item, "Linear")
        return f"Type::Items {{ item: &{rendered}, min: None, max: None }}"
    if name in ("map", "object", "any"):
        return "Type::Object"
    return "Type::Text { pattern: None, max_len: None, format: None }"


def integer_bounds(kind: Record) -> tuple[str | None, str | None]:
    """Inclusive bounds of an integer."""
    low = kind.get("minimum")
    if "exclusive_minimum" in kind:
        low = int(kind["exclusive_minimum"]) + 1
    high = kind.get("maximum")
    if "exclusive_maximum" in kind:
        high = int(kind["exclusive_maximum"]) - 1
    return (None if low is None else integer(int(low))), (None if high is None else integer(int(high)))


def choices(values: Iterable[Any], name: str) -> str:
    """Words where all values are text, else values."""
    values = list(values)
    if all(isinstance(value, str) for value in values):
        return "Type::Words(&[" + ", ".join(f'({text(value)}, "")' for value in values) + "])"
    return "Type::Values(&[" + ", ".join(f'({val(value, name)}, "")' for value in values) + "])"


def kinds(record: Record) -> list[Record]:
    """The accepted types of a record, plain ones first; null is no type here."""
    own = {
        key: record[key]
        for key in (
            "type",
            "choices",
            "items",
            "values",
            "minimum",
            "maximum",
            "exclusive_minimum",
            "exclusive_maximum",
        )
        if key in record
    }
    found = [own]
    if own["type"] != "enum" and own.get("choices"):
        bare = {key: value for key, value in own.items() if key != "choices"}
        if record.get("choices_open"):
            found = [bare]
    elif record.get("choices_open"):
        found.append({"type": "string"})
    if own["type"] == "any":
        found = [{"type": "bool"}, {"type": "int"}, {"type": "float"}, {"type": "string"}, {"type": "object"}]
    for other in record.get("alts", []):
        if other["type"] not in ("callable",):
            found.append(other)
    if record.get("accepts_suffix"):
        found.append({"type": "string"})
    return found


def row(path: str, record: Record, more: Record) -> str:
    """One `Param`."""
    scale = more.get("scale", "Linear")
    accepted: list[str] = []
    for kind in kinds(record):
        default = record.get("default")
        if kind["type"] == "list" and not kind.get("items") and isinstance(default, list) and default:
            # A bare `tuple` says nothing of its items; its default does.
            if all(type(it) is int for it in default):
                kind = {**kind, "items": {"type": "int"}}
        rendered = param_type(kind, scale)
        if rendered not in accepted:
            accepted.append(rendered)
    out = f"Param::new({text(path)}, &[{', '.join(accepted)}], {fallback(record, more)})"
    out += f".doc({text(more['doc'])})"
    if record.get("nullable") or record.get("default", 0) is None:
        out += ".nullable()"
    if more.get("unit"):
        out += f".unit({text(more['unit'])})"
    out += more.get("native", "")
    if record["energy_relevant"]:
        out += ".energy()"
    if more.get("suggested"):
        wanted = "float" if record["type"] == "float" else None
        out += ".suggest(&[" + ", ".join(val(value, wanted) for value in more["suggested"]) + "])"
    if more.get("modes"):
        out += f".only_in(&[Mode::{more['modes']}])"
    if more.get("since"):
        out += f".since({text(more['since'])})"
    if record.get("deprecated"):
        out += ".deprecated(\"The engine has replaced it.\")"
    out += f".source({text(record['source'] or 'the engine')})"
    return f"Param {{ until: Some({text(more['until'])}), ..{out} }}" if more.get("until") else out


def fallback(record: Record, more: Record) -> str:
    """What holds when a parameter is not given."""
    if record.get("required") or record.get("default_kind") == "required":
        return 'Fallback::Engine("no default")'
    default = record.get("effective_default", record.get("default"))
    if isinstance(default, dict) and "$class" in default:
        return f"Fallback::Engine({text('a ' + default['$class'] + ' of its own defaults')})"
    if record.get("default_note"):
        return f"Fallback::Engine({text(record['default_note'])})"
    if record.get("default_expr") and default is None:
        return f"Fallback::Engine({text('`' + record['default_expr'] + '`')})"
    if default is None:
        return f"Fallback::Engine({text(more.get('unset', 'unset'))})"
    if not allowed(record, default):
        return f"Fallback::Engine({text(json.dumps(default))})"
    wanted = "float" if record["type"] == "float" else None
    return f"Fallback::Fixed({val(default, wanted)})"


def allowed(record: Record, value: Any) -> bool:
    """Whether one of the record's types takes its own default; reports have a few that none takes."""
    return any(_takes(kind, value) for kind in kinds(record))


def _takes(kind: Record, value: Any) -> bool:
    name = kind["type"]
    if kind.get("choices"):
        return value in kind["choices"]
    if isinstance(value, bool):
        return name == "bool"
    if isinstance(value, int) and name == "int":
        low, high = integer_bounds(kind)
        return (low is None or int(low) <= value) and (high is None or value <= int(high))
    if isinstance(value, (int, float)) and name == "float":
        return (
            kind.get("minimum", value) <= value <= kind.get("maximum", value)
            and ("exclusive_minimum" not in kind or kind["exclusive_minimum"] < value)
            and ("exclusive_maximum" not in kind or value < kind["exclusive_maximum"])
        )
    if isinstance(value, str):
        return name in ("string", "callable")
    if isinstance(value, list):
        return name == "list"
    return isinstance(value, dict) and name in ("map", "object", "any")
