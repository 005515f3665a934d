"""Writes plugins/*/data from extraction reports.

usage: build.py REPORTS [PLUGIN...]      REPORTS holds the reports and `constraints.json`
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from llem_schema.build import ENGINES, write  # noqa: E402


def main() -> None:
    """Builds the named plugins, or all."""
    reports, wanted = Path(sys.argv[1]), sys.argv[2:]
    here = Path(__file__).parent
    for engine in ENGINES:
        if not wanted or engine.plugin in wanted:
            print(write(engine, reports, here / "overlay", here.parent.parent / "plugins"))


if __name__ == "__main__":
    main()
