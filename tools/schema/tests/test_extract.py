"""Reading parameters out of sources."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from extract import fields

SOURCE = '''
from typing import ClassVar
class Config:
    """Documented."""
    size: int = 3
    names: list[str] | None = None
    shared: ClassVar[int] = 1
class Plain:
    def __init__(self, width: int = 4, *, deep: bool = False, **rest):
        pass
environment_variables: dict = {"ENGINE_FAST": lambda: 1}
'''


class Extraction(unittest.TestCase):
    def test_fields_arguments_and_variables_are_found_without_running_anything(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "module.py"
            path.write_text(SOURCE)
            found = list(fields(path))
        self.assertEqual(
            sorted(found),
            [
                ("Config.names", "list[str] | None", "None"),
                ("Config.size", "int", "3"),
                ("Plain.deep", "bool", "False"),
                ("Plain.width", "int", "4"),
                ("env.ENGINE_FAST", "", ""),
            ],
        )


if __name__ == "__main__":
    unittest.main()
