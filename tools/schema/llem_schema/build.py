"""Writes the data files of one plugin from its reports and its overlay."""

from __future__ import annotations

import fnmatch
import json
import lzma
import re
import tomllib
from pathlib import Path
from typing import Any, Callable

from . import cel, paths, rust
from .language import LanguageError, Node, parse

Record = dict[str, Any]

# First parts of names that are facts: what the host may know of the model, the GPUs, the installed
# packages and a draft model. A fact that it does not know leaves a rule undecided.
_FACTS = ("model.", "gpu.", "pkg.", "draft.")


class Engine:
    """What is particular to one plugin."""

    def __init__(
        self,
        plugin: str,
        report: str,
        rules: str,
        path: Callable[[Record], str],
        names: Callable[[Record], list[str]],
    ) -> None:
        self.plugin = plugin
        self.report = report
        self.rules = rules
        self.path = path
        self.names = names


def _pytorch_names(record: Record) -> list[str]:
    name, section = record["name"], record["section"]
    prefixes = {
        "from_pretrained": [""],
        "quantization": ["quant."],
        "continuous_batching": ["cb."],
        "distributed": ["dist."],
        "compile": ["compile.", "gen.compile_config."],
        "cache": ["gen.cache_config."] if record["group"] == "QuantizedCache" else [],
        "runner": ["run."],
        "generate_call": ["run."],
        "kernels": ["kernel_config."],
        "generation": ["gen.watermarking_config." if record["group"].endswith("WatermarkingConfig") else "gen."],
        "serve": ["serve."],
    }
    return [prefix + name for prefix in prefixes.get(section, [])]


def _vllm_names(record: Record) -> list[str]:
    name, section, group = record["name"], record["section"], record["group"]
    if section in ("engine_args", "server_args"):
        return [name]
    if section == "nested_config":
        path = record["path"]
        return [path.replace("linear|moe", part) for part in ("linear", "moe")] if "|" in path else [path]
    if section == "sampling_params":
        prefix = {
            "SamplingParams": "sampling.",
            "StructuredOutputsParams": "sampling.structured_outputs.",
            "RepetitionDetectionParams": "sampling.repetition_detection.",
            "BeamSearchParams": "beam.",
        }[group]
        return [prefix + name]
    return [f"env.{name}"] if section == "env" else []


def _tensorrt_names(record: Record) -> list[str]:
    name, section, group = record["name"], record["section"], record["group"]
    if section == "llm_args":
        return [name]
    if section == "nested_config":
        return [record["path"]]
    if section == "build":
        parent = {"BuildConfig": "build_config.", "PluginConfig": "plugin.", "trtllm-build": "trtllm_build."}[group]
        return [parent + name]
    prefix = {"sampling_params": "sampling.", "serve_args": "serve.", "env": "env."}[section]
    return ["sampling.guided_decoding." + name if group == "GuidedDecodingParams" else prefix + name]


ENGINES = [
    Engine("pytorch", "transformers-5.23.0.json", "transformers", paths.pytorch, _pytorch_names),
    Engine("vllm", "vllm-0.33.0.json", "vllm", paths.vllm, _vllm_names),
    Engine("tensorrt", "tensorrt_llm-1.2.1.json", "tensorrt_llm", paths.tensorrt, _tensorrt_names),
]


class Overlay:
    """What people add to a report: words, units, suggestions, and what can't be set and why."""

    def __init__(self, file: Path) -> None:
        body = tomllib.loads(file.read_text())
        self.doc: dict[str, str] = body.get("doc", {})
        self.unit: dict[str, str] = body.get("unit", {})
        self.scale: dict[str, str] = body.get("scale", {})
        self.suggested: dict[str, list[Any]] = body.get("suggest", {})
        self.since: dict[str, str] = body.get("since", {})
        self.until: dict[str, str] = body.get("until", {})
        self.refused: dict[str, str] = body.get("refused", {})
        self.unexpressed: dict[str, str] = body.get("unexpressed", {})
        self.request: list[str] = body.get("request", [])
        self.build: list[str] = body.get("build", [])
        self.modes: dict[str, str] = body.get("modes", {})
        self.native: dict[str, str] = body.get("native", {})
        self.own: list[Record] = body.get("parameter", [])
        self.rules: list[Record] = body.get("rule", [])
        self.kinds: dict[str, str] = body.get("kinds", {})

    def refusal(self, path: str) -> str | None:
        """Why a parameter can't be set, if so."""
        return _first(self.refused, path)


def _first(table: dict[str, str], path: str) -> str | None:
    if path in table:
        return table[path]
    return next((value for pattern, value in table.items() if fnmatch.fnmatchcase(path, pattern)), None)


def load(reports: Path, name: str) -> Any:
    """A report, packed or plain."""
    packed = reports / f"{name}.xz"
    return json.loads(lzma.decompress(packed.read_bytes()) if packed.exists() else (reports / name).read_bytes())


def write(engine: Engine, reports: Path, overlays: Path, plugins: Path) -> str:
    """Writes the data files of a plugin; returns what was done."""
    folder = plugins / engine.plugin / "data"
    folder.mkdir(parents=True, exist_ok=True)
    rendered = render(engine, reports, overlays)
    for name, rows in rendered.items():
        (folder / name).write_text("[\n" + "".join(f"{row},\n" for row in rows) + "]\n")
    return f"{engine.plugin}: " + ", ".join(f"{len(rows)} rows of {name}" for name, rows in rendered.items())


def render(engine: Engine, reports: Path, overlays: Path) -> dict[str, list[str]]:
    """The rows of a plugin's data files, by file."""
    report = load(reports, engine.report)
    overlay = Overlay(overlays / f"{engine.plugin}.toml")
    records: dict[str, Record] = {}
    for record in [*map(_own, overlay.own), *report["params"]]:
        if record.get("internal"):
            continue
        for path in _expanded(record, engine):
            records[path] = _merged(records[path], record) if path in records else record
    parameters = [rust.row(path, record, _more(path, record, overlay)) for path, record in sorted(records.items())]
    rules, unexpressed = _rules(engine, reports, overlay, records)
    return {"parameters.in": parameters, "rules.in": rules, "unexpressed.in": unexpressed}


def _own(record: Record) -> Record:
    return {
        "section": "own",
        "group": "own",
        "nullable": False,
        "deprecated": False,
        "source": "the worker of this plugin",
        "energy_relevant": True,
        "default": None,
        **record,
    }


def _merged(first: Record, other: Record) -> Record:
    """One record of a name that several classes have, of which a study uses one."""
    if first["section"] == "own" or not (first.get("choices") and other.get("choices")):
        return first
    both = [*first["choices"], *(choice for choice in other["choices"] if choice not in first["choices"])]
    return {**first, "choices": both, "default": None, "effective_default": None}


def _expanded(record: Record, engine: Engine) -> list[str]:
    if record["section"] == "own":
        return [record["path"]]
    path = engine.path(record)
    return [path.replace("linear|moe", part) for part in ("linear", "moe")] if "|" in path else [path]


def _more(path: str, record: Record, overlay: Overlay) -> Record:
    doc = overlay.doc.get(path) or record.get("doc") or _first(overlay.doc, path) or _plain(path, record)
    refusal = overlay.refusal(path)
    if refusal:
        doc = f"{doc.rstrip('.')}. Can't be set: {refusal}."
    native = overlay.native.get(path, "")
    if not native:
        native = _native(path, record, overlay)
    since = overlay.since.get(path)
    return {
        "doc": doc,
        "unit": overlay.unit.get(path),
        "scale": overlay.scale.get(path, "Linear"),
        "suggested": overlay.suggested.get(path),
        "modes": _first(overlay.modes, path),
        "since": since,
        "until": overlay.until.get(path),
        "native": native,
    }


def _native(path: str, record: Record, overlay: Overlay) -> str:
    name = path.split(".", 1)[1]
    if path.startswith("env."):
        return f".native(Native::Env({rust.text(name)}))"
    if any(fnmatch.fnmatchcase(path, pattern) for pattern in overlay.request):
        return f".request({rust.text(name)})"
    if any(fnmatch.fnmatchcase(path, pattern) for pattern in overlay.build):
        return ".build()"
    return _flag(record) if record.get("flag") else ""


def _flag(record: Record) -> str:
    """How a flag is written, by the kind of its argument."""
    flag, style = record["flag"], record.get("flag_style")
    if not flag.startswith("--"):
        return ""
    if record["type"] == "bool" and len([name for name in record.get("flags") or [] if name.startswith("--")]) > 1:
        return f".native(Native::OnOff({rust.text(flag)}, {rust.text('--no-' + flag[2:])}))"
    if record["type"] == "bool" and "." not in flag and style != "optional_value":
        return f".native(Native::Switch({rust.text(flag)}))"
    if style == "multi" or (style is None and record["type"] == "list" and "." not in flag):
        return f".native(Native::Words({rust.text(flag)}))"
    return f".flag({rust.text(flag)})"


def _plain(path: str, record: Record) -> str:
    """A sentence where neither the report nor the overlay has one."""
    name = path.rsplit(".", 1)[-1]
    if path.startswith("env."):
        return f"The environment variable `{name}` of the engine"
    if record.get("flag"):
        return f"What `{record['flag']}` sets"
    return f"The field `{name}` of `{record['group']}`"


def _rules(
    engine: Engine, reports: Path, overlay: Overlay, records: dict[str, Record]
) -> tuple[list[str], list[str]]:
    rows = [_refusal(engine, path, reason) for path in sorted(records) if (reason := overlay.refusal(path))]
    missing = []
    rules = load(reports, "constraints.json")["engines"][engine.rules]["rules"]
    definitions = _definitions(rules)
    names = _names(engine, overlay, records, definitions)
    for rule in rules:
        name = f"{engine.plugin}.{rule['id'].split('/', 1)[1].replace('/', '-')}"
        try:
            if name in overlay.unexpressed:
                raise cel.Unexpressed(overlay.unexpressed[name])
            if any(change["target"] in definitions for change in rule.get("set", [])):
                raise cel.Unexpressed("defines a fact that the other rules have inline")
            rows.append(_rule(name, rule, names, records))
        except cel.Unexpressed as reason:
            missing.append(f"({rust.text(name)}, {rust.text(str(reason))})")
    rows += [_own_rule(engine, rule, records) for rule in overlay.rules]
    return rows, missing


def _definitions(rules: list[Record]) -> dict[str, Node]:
    """Derived facts: rules that always hold and set a name to an expression."""
    found = {}
    for rule in rules:
        for change in rule.get("set", []) if rule.get("when") == "true" else []:
            try:
                found[change["target"]] = parse(change["value"])
            except LanguageError:
                continue
    return found


def _names(
    engine: Engine, overlay: Overlay, records: dict[str, Record], definitions: dict[str, Node]
) -> cel.Names:
    known: dict[str, list[str]] = {}
    for path, record in records.items():
        for name in engine.names(record) if record["section"] != "own" else record.get("names", []):
            if "|" in str(record.get("path", "")) and not path.endswith(name):
                continue
            known.setdefault(name, []).append(path)
    def facts(name: str) -> str | None:
        return name if name.startswith(_FACTS) or name == "mode" else None

    def rewrite(node: Node) -> Node | None:
        if node[0] == "name" and node[1] in definitions:
            return definitions[node[1]]
        if node == ("name", "run.offline"):
            return ("cmp", "==", ("name", "mode"), ("lit", "offline"))
        return _quantisation(node, overlay.kinds)

    return cel.Names(known, facts, rewrite)


def _quantisation(node: Node, kinds: dict[str, str]) -> Node | None:
    """A method's name is the class of its config."""
    if not kinds:
        return None
    if node[0] == "cmp" and node[2] == ("name", "quant.kind") and node[3][0] == "lit":
        value = node[3][1]
        return ("cmp", node[1], ("name", "quant.config_class"), ("lit", kinds.get(value, value) if value else None))
    if node[0] == "in" and node[1] == ("name", "quant.kind"):
        items = [("lit", kinds.get(item[1], item[1]) if item[1] else None) for item in node[2]]
        return ("in", ("name", "quant.config_class"), items)
    return None


def _rule(name: str, rule: Record, names: cel.Names, records: dict[str, Record]) -> str:
    names = _narrowed(rule, names)
    severity = rule["severity"]
    message = _message(rule, names)
    source = rule.get("source") or "the engine"
    if severity in ("error", "warn"):
        kind = "error" if severity == "error" else "warning"
        when = cel.violation(rule["holds"], names)
        return _row(kind, name, when, None, message, source)
    if severity == "dormant":
        targets = sorted({path for target in rule["targets"] for path in names.targets(target)})
        unless = cel.violation(rule["unless"], names)
        given = " || ".join(f"given({path})" for path in targets)
        when = given if unless == "true" else f"({unless}) && ({given})"
        effects = [f"EffectDef::unset({rust.text(path)})" for path in targets]
        return _row("dormant", name, when, effects, message, source)
    when = cel.condition(rule["when"], names)
    effects, guards = [], []
    for change in rule["set"]:
        value = cel.literal(change["value"])
        for path in names.targets(change["target"]):
            if not rust.allowed(records[path], value) and value is not None:
                raise cel.Unexpressed(f"sets `{path}` to a value outside its type")
            wanted = "float" if records[path]["type"] == "float" else None
            effects.append(f"EffectDef::set({rust.text(path)}, {rust.val(value, wanted)})")
            if change.get("default_only"):
                guards.append(f"!given({path})")
    if guards and len(guards) == len(effects) and rule["when"].endswith("== null"):
        raise cel.Unexpressed("only fills in a default")
    if guards:
        when = f"({when}) && " + " && ".join(guards)
    return _row("coerce", name, when, effects, message, source)


_CLASS_OF_KIND = re.compile(r'quant\.kind == "([a-z0-9_-]+)"')


def _narrowed(rule: Record, names: cel.Names) -> cel.Names:
    """Names of one quantisation method's settings, where the rule says which method it is about."""
    text = rule.get("holds") or rule.get("when") or rule.get("unless") or ""
    kind = _CLASS_OF_KIND.search(text)
    if kind is None:
        return names
    wanted = names.rewrite(("cmp", "==", ("name", "quant.kind"), ("lit", kind[1])))
    if wanted is None:
        return names
    class_name = wanted[3][1]
    own = {
        name: [path for path in found if not name.startswith("quant.") or len(found) == 1 or f".{class_name}." in path]
        for name, found in names.paths.items()
    }
    return cel.Names(own, names.facts, names.rewrite)


_NAME = re.compile(r'"[^"]*"|[A-Za-z_][A-Za-z0-9_.]*')
_MOST_TARGETS = 4


def _spelled(text: str, names: cel.Names) -> str:
    """A condition of the report with the paths that a study writes."""

    def path(match: re.Match[str]) -> str:
        found = names.paths.get(match[0], [])
        return found[0] if len(found) == 1 else match[0]

    return _NAME.sub(path, text)


def _message(rule: Record, names: cel.Names) -> str:
    note = rule.get("note")
    if rule["severity"] == "dormant":
        targets = sorted({path for target in rule["targets"] for path in names.targets(target)})
        shown = ", ".join(f"`{path}`" for path in targets[:_MOST_TARGETS])
        more = f" and {len(targets) - _MOST_TARGETS} more" if len(targets) > _MOST_TARGETS else ""
        text = f"no effect of {shown}{more} unless {_spelled(rule['unless'], names)}"
    elif rule["severity"] == "coerce":
        changes = ", ".join(f"`{_spelled(change['target'], names)}` to {change['value']}" for change in rule["set"])
        text = f"the engine sets {changes} where {_spelled(rule['when'], names)}"
    else:
        text = f"the engine wants: {_spelled(rule['holds'], names)}"
    return f"{text} ({note})" if note else text


def _refusal(engine: Engine, path: str, reason: str) -> str:
    name = f"{engine.plugin}.not-settable.{path.replace('.', '-')}"
    return _row("error", name, f"given({path})", None, f"`{path}` can't be set: {reason}", "this plugin")


def _own_rule(engine: Engine, rule: Record, records: dict[str, Record]) -> str:
    effects = None
    if rule["severity"] in ("coerce", "dormant"):
        effects = []
        for target in rule.get("unset", []):
            found = sorted(path for path in records if fnmatch.fnmatchcase(path, target))
            effects += [f"EffectDef::unset({rust.text(path)})" for path in found]
        for path, value in rule.get("set", {}).items():
            effects.append(f"EffectDef::set({rust.text(path)}, {rust.val(value)})")
    when = rule["when"]
    if "{given}" in when:
        targets = sorted({path for target in rule["unset"] for path in records if fnmatch.fnmatchcase(path, target)})
        when = when.replace("{given}", "(" + " || ".join(f"given({path})" for path in targets) + ")")
    name = f"{engine.plugin}.{rule['id']}"
    return _row(rule["severity"], name, when, effects, rule["message"], rule.get("source", "this plugin"))


def _row(kind: str, name: str, when: str, effects: list[str] | None, message: str, source: str) -> str:
    middle = "" if effects is None else f", &[{', '.join(effects)}]"
    return f"RuleDef::{kind}({rust.text(name)}, {rust.text(when)}{middle}, {rust.text(message)}).source({rust.text(source)})"
