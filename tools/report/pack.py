"""Packs Vega, Vega-Lite and Vega-Embed with their licences for the report; `--check` compares instead of writing.

Run in a folder in which `npm install --ignore-scripts` has put the packages of package.json:
    python3 pack.py FOLDER/node_modules ../../host/assets/report
"""

import sys
import zlib
from pathlib import Path

# What is no part of the minified builds: command lines and loaders of Node.
NOT_BUNDLED = {
    "@types", "ansi-regex", "ansi-styles", "cliui", "commander", "emoji-regex", "escalade", "get-caller-file",
    "get-east-asian-width", "iconv-lite", "playwright-core", "rw", "safer-buffer", "string-width", "strip-ansi",
    "vega-typings", "wrap-ansi", "y18n", "yargs", "yargs-parser",
}


def script(modules: Path) -> bytes:
    parts = []
    for name in ("vega", "vega-lite", "vega-embed"):
        lines = (modules / name / "build" / f"{name}.min.js").read_text(encoding="utf-8").splitlines()
        parts.append("\n".join(line for line in lines if not line.startswith("//# sourceMappingURL")))
    text = "\n".join(parts) + "\n"
    if "</script" in text.lower() or "<!--" in text:
        sys.exit("the library can't stand inside a script element")
    return text.encode()


def licences(modules: Path) -> bytes:
    """Each text once, with the packages that it is for."""
    texts = {}
    for package in sorted(modules.iterdir()):
        if package.name.startswith(".") or package.name in NOT_BUNDLED or package.is_symlink():
            continue
        found = [it for it in sorted(package.iterdir()) if it.name.lower().startswith(("license", "licence", "copying"))]
        if not found:
            sys.exit(f"{package.name} has no licence text")
        texts.setdefault(found[0].read_text(encoding="utf-8").strip(), []).append(package.name)
    parts = [", ".join(names) + "\n\n" + text for text, names in texts.items()]
    return ("\n\n" + "-" * 72 + "\n\n").join(parts).encode() + b"\n"


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def main() -> None:
    arguments = [it for it in sys.argv[1:] if it != "--check"]
    modules, out = Path(arguments[0]), Path(arguments[1])
    for name, data in (("vega.js", script(modules)), ("licences.txt", licences(modules))):
        file = out / f"{name}.deflate"
        if "--check" in sys.argv:
            if zlib.decompress(file.read_bytes(), -15) != data:
                sys.exit(f"{file} is not what the packages give")
        else:
            file.write_bytes(deflate(data))
            print(f"{file}: {len(data)} bytes, {file.stat().st_size} packed")


main()
