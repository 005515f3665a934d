"""The plugins' data files against the reports they are made of."""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path
from typing import Any

from llem_schema.build import ENGINES, Engine, _expanded, load, render

HERE = Path(__file__).parent.parent
REPORTS, OVERLAYS, PLUGINS = HERE / "reports", HERE / "overlay", HERE.parent.parent / "plugins"

_ROW = re.compile(r'Param::new\("([^"]+)", &\[(.*?)\], (Fallback::\w+(?:\(.*?\)\)?)?)\)\.doc\(')
_KINDS = {
    "bool": "Type::Boolean",
    "int": "Type::Integer",
    "float": "Type::Number",
    "string": "Type::Text",
    "enum": "Type::",
    "list": "Type::Items",
    "map": "Type::Object",
    "object": "Type::Object",
    "any": "Type::",
    "callable": "Type::",
}


def rows(engine: Engine) -> dict[str, tuple[str, str]]:
    """Types and default of each row of a data file, as they stand there."""
    text = (PLUGINS / engine.plugin / "data" / "parameters.in").read_text()
    return {match[1]: (match[2], match[3]) for match in _ROW.finditer(text)}


def agrees(record: dict[str, Any], types: str, default: str) -> bool:
    """Whether a row says what the report says: type, choices, default."""
    if _KINDS[record["type"]] not in types:
        return False
    for choice in record.get("choices") or []:
        shown = json.dumps(choice, ensure_ascii=False) if isinstance(choice, str) else str(choice).lower()
        if shown not in types and record["type"] == "enum":
            return False
    wanted = record.get("effective_default", record.get("default"))
    if wanted is None or isinstance(wanted, dict):
        return True
    if isinstance(wanted, str):
        return json.dumps(wanted, ensure_ascii=False) in default or "Engine" in default
    if isinstance(wanted, list):
        return "Json" in default or "Engine" in default
    if isinstance(wanted, bool):
        return str(wanted).lower() in default
    digits = default.replace("_", "")
    return str(wanted) in digits or repr(float(wanted)) in digits or "Engine" in default


class Data(unittest.TestCase):
    def test_the_committed_files_are_what_the_reports_and_overlays_give(self) -> None:
        for engine in ENGINES:
            for name, wanted in render(engine, REPORTS, OVERLAYS).items():
                found = (PLUGINS / engine.plugin / "data" / name).read_text()
                with self.subTest(plugin=engine.plugin, file=name):
                    self.assertEqual(found, "[\n" + "".join(f"{row},\n" for row in wanted) + "]\n")

    def test_nearly_every_parameter_of_a_report_is_shipped_with_its_type_default_and_choices(self) -> None:
        for engine in ENGINES:
            shipped = rows(engine)
            records = [record for record in load(REPORTS, engine.report)["params"] if not record.get("internal")]
            missing, different = [], []
            for record in records:
                for path in _expanded(record, engine):
                    if path not in shipped:
                        missing.append(path)
                    elif not agrees(record, *shipped[path]):
                        different.append(path)
            with self.subTest(plugin=engine.plugin, missing=missing, different=different):
                self.assertLessEqual(len(missing) + len(different), len(records) // 100)

    def test_every_rule_is_shipped_or_listed_with_the_reason(self) -> None:
        constraints = load(REPORTS, "constraints.json")["engines"]
        for engine in ENGINES:
            folder = PLUGINS / engine.plugin / "data"
            text = (folder / "rules.in").read_text() + (folder / "unexpressed.in").read_text()
            for rule in constraints[engine.rules]["rules"]:
                name = f"{engine.plugin}.{rule['id'].split('/', 1)[1].replace('/', '-')}"
                with self.subTest(rule=name):
                    self.assertIn(f'"{name}"', text)

    def test_most_rules_are_expressed(self) -> None:
        for engine in ENGINES:
            rendered = render(engine, REPORTS, OVERLAYS)
            self.assertLess(len(rendered["unexpressed.in"]), len(rendered["rules.in"]) / 3)


if __name__ == "__main__":
    unittest.main()
