"""Write the settings of ``kernelllm_jupyter/settings.py`` to where they are published.

``python tools/settings.py`` brings JupyterLab's schema and the table in ``docs/settings.md`` up to
date; with ``--check`` it changes nothing and fails where one of them is not.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kernelllm_jupyter.settings import SETTINGS, properties  # noqa: E402

SCHEMA = ROOT / "labextension" / "schema" / "plugin.json"
PAGE = ROOT / "docs" / "settings.md"
PROPERTIES = re.compile(r'(\n  "properties": ).*?(,\n  "additionalProperties")', re.DOTALL)
TABLE = re.compile(r"(<!-- tools/settings\.py writes this -->\n).*?(<!-- to here -->\n)", re.DOTALL)


def schema(text: str) -> str:
    """The schema with the settings of today; the rest of it is written by hand."""
    written = json.dumps(properties(), indent=2, ensure_ascii=False)
    # As prettier lays it out: lists of words stay on their line.
    written = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", written)
    block = written.replace("\n", "\n  ")
    new, count = PROPERTIES.subn(lambda found: found[1] + block + found[2], text)
    if count != 1:
        raise SystemExit(f"{SCHEMA} has no place for the settings.")
    return new


def page(text: str) -> str:
    """The page with the table of today."""
    lines = ["| setting | option | takes | default | meaning |", "|---|---|---|---|---|"]
    for setting in SETTINGS:
        option = f"`{setting.option}`" if setting.option else ""
        default = "the model's profile's" if setting.default is None else f"`{setting.default}`"
        lines.append(
            f"| `{setting.name}` | {option} | {setting.takes} | {default} | {setting.help} |"
        )
    table = "\n".join(lines) + "\n"
    written, count = TABLE.subn(lambda found: found[1] + table + found[2], text)
    if count != 1:
        raise SystemExit(f"{PAGE} has no place for the table of settings.")
    return written


def main() -> int:
    stale = []
    for path, write in ((SCHEMA, schema), (PAGE, page)):
        text = path.read_text(encoding="utf-8")
        if write(text) != text:
            stale.append(path)
            if "--check" not in sys.argv:
                path.write_text(write(text), encoding="utf-8")
    if stale and "--check" in sys.argv:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"Not up to date: {names}. Run `python tools/settings.py`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
