"""Write the settings of ``kernelllm_jupyter/settings.py`` into JupyterLab's schema.

``python tools/settings.py`` brings ``labextension/schema/plugin.json`` up to date; with ``--check``
it changes nothing and fails where it is not.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kernelllm_jupyter.settings import properties  # noqa: E402

SCHEMA = ROOT / "labextension" / "schema" / "plugin.json"
PROPERTIES = re.compile(r'(\n  "properties": ).*?(,\n  "additionalProperties")', re.DOTALL)


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


def main() -> int:
    text = SCHEMA.read_text(encoding="utf-8")
    if schema(text) == text:
        return 0
    if "--check" in sys.argv:
        name = SCHEMA.relative_to(ROOT)
        print(f"Not up to date: {name}. Run `python tools/settings.py`.", file=sys.stderr)
        return 1
    SCHEMA.write_text(schema(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
