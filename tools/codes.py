"""Write the reason codes of ``kernelllm_jupyter/verify/codes.py`` to where they are published.

``python tools/codes.py`` brings the JSON schemas and the table in ``docs/verification.md`` up to
date; with ``--check`` it changes nothing and fails where one of them is not.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kernelllm_jupyter.timings import Conclusion, ContenderName  # noqa: E402
from kernelllm_jupyter.verify.codes import (  # noqa: E402
    DISTURBED,
    NOT_MADE,
    REASONS,
    SIGNAL,
    WARNINGS,
)

SCHEMA = ROOT / "kernelllm_jupyter" / "schemas" / "verdict.schema.json"
TIMING = ROOT / "kernelllm_jupyter" / "schemas" / "timing.schema.json"
#: What timings and verdicts have in common: written in the verdict's schema, copied from there.
COMMON = ("failure", "error", "compilation", "compiled_kernel")
PAGE = ROOT / "docs" / "verification.md"
TABLE = re.compile(r"(<!-- tools/codes\.py writes this -->\n).*?(<!-- to here -->\n)", re.DOTALL)


def schema(text: str) -> str:
    """The schema with the enumerations of today."""
    found = json.loads(text)
    definitions = found["$defs"]
    reasons = {code for codes in REASONS.values() for code in codes}
    definitions["reason_code"]["anyOf"] = [{"enum": sorted(reasons)}, {"pattern": SIGNAL}]
    definitions["warning_code"]["enum"] = sorted(WARNINGS)
    definitions["not_made_code"]["enum"] = sorted(NOT_MADE)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def timing_schema(text: str) -> str:
    """The schema of timings with the enumerations of today."""
    found = json.loads(text)
    definitions = found["$defs"]
    verdicts = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    definitions.update({name: verdicts[name] for name in COMMON})
    definitions["contender"]["properties"]["name"]["enum"] = list(get_args(ContenderName))
    definitions["conclusion"]["enum"] = list(get_args(Conclusion))
    definitions["disturbance_code"]["enum"] = sorted(DISTURBED)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def page(text: str) -> str:
    """The page with the table of today."""
    rows = [("`correct`", "", "")]
    for verdict, codes in REASONS.items():
        rows += [(f"`{verdict}`", f"`{code}`", meaning) for code, meaning in codes.items()]
        if verdict == "crashed":
            rows.append(("`crashed`", "`sigsegv`, …", "The signal that ended the process."))
    rows += [("warning", f"`{code}`", meaning) for code, meaning in WARNINGS.items()]
    rows += [("not made", f"`{code}`", meaning) for code, meaning in NOT_MADE.items()]
    lines, before = ["| verdict | code | meaning |", "|---|---|---|"], ""
    for verdict, code, meaning in rows:
        lines.append(f"| {'' if verdict == before else verdict} | {code} | {meaning} |")
        before = verdict
    table = "\n".join(lines) + "\n"
    written, count = TABLE.subn(lambda found: found[1] + table + found[2], text)
    if count != 1:
        raise SystemExit(f"{PAGE} has no place for the table of codes.")
    return written


def main() -> int:
    stale = []
    for path, write in ((SCHEMA, schema), (TIMING, timing_schema), (PAGE, page)):
        text = path.read_text(encoding="utf-8")
        if write(text) != text:
            stale.append(path)
            if "--check" not in sys.argv:
                path.write_text(write(text), encoding="utf-8")
    if stale and "--check" in sys.argv:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"Not up to date: {names}. Run `python tools/codes.py`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
