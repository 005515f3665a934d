"""Writes plugins/*/data from the reports in this folder.

usage: build.py [PLUGIN...]
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from llem_schema.build import ENGINES, write  # noqa: E402


def main() -> None:
    """Builds the named plugins, or all."""
    wanted = sys.argv[1:]
    for engine in ENGINES:
        if not wanted or engine.plugin in wanted:
            print(write(engine, HERE / "reports", HERE / "overlay", HERE.parent.parent / "plugins"))


if __name__ == "__main__":
    main()
