"""Run the checker's tests with each Triton version that users have, and print a table.

    python tools/check_triton_versions.py [--folder DIR] [--versions 3.3.1 3.6.0 3.9.0] [TEST …]

For each version a virtual environment is made that holds this Triton only (about 0.6 GB) and takes
torch, pytest and the rest from the environment that runs this script. Environments are kept in the
folder (default ``build/triton-versions``) and used again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.3.1", "3.6.0", "3.9.0")
TESTS = ("test_check*.py", "test_interpreter.py", "test_compat.py")
LIMIT_S = 3600


def environment(folder: Path, version: str) -> Path:
    """The Python of an environment with this Triton; made where it is not there yet."""
    home = folder / version
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = home / "complete"
    if done.exists():
        return python
    venv.create(home, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", f"triton=={version}"]
    subprocess.run([*pip, "setuptools"], check=True)
    own = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # Looked at after its own packages, so that its Triton comes first.
    shared = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    Path(own, "shared.pth").write_text("\n".join(shared) + "\n")
    done.touch()
    return python


def run(python: Path, tests: list[str]) -> tuple[str, str, float]:
    """The version that was really imported, pytest's last line, and the time."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    found = subprocess.run(
        [str(python), "-c", "import triton; print(triton.__version__)"],
        check=True,
        capture_output=True,
        text=True,
        env=variables,
    ).stdout.strip()
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-300:]]
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            print(f"  {line}", file=sys.stderr, flush=True)
    return found, re.sub(r" in [\d.]+s.*", "", lines[-1].strip("= ")), time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "triton-versions")
    parser.add_argument("--versions", nargs="+", default=list(VERSIONS))
    parser.add_argument("tests", nargs="*", help="what to run instead of the checker's tests")
    options = parser.parse_args()
    tests = options.tests or [
        str(path.relative_to(ROOT))
        for pattern in TESTS
        for path in sorted((ROOT / "tests" / "python").glob(pattern))
    ]
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for version in options.versions:
        print(f"triton {version} …", file=sys.stderr)
        found, outcome, seconds = run(environment(options.folder.resolve(), version), tests)
        assert found == version, f"{found} was imported where {version} was asked for"
        rows.append((version, outcome, seconds))
    print("| triton | tests | time |\n|---|---|---|")
    for version, outcome, seconds in rows:
        print(f"| {version} | {outcome} | {seconds:.0f} s |")
    return int(any("failed" in outcome or "error" in outcome for _, outcome, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
