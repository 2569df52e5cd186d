"""What ``%load_ext kernelllm_jupyter`` adds to an empty extension, in fresh interpreters.

Prints one JSON object: medians in milliseconds over alternating runs, their difference, and
which heavy packages were imported (none should be).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 15
MEASURE = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", sys.argv[1])
print((time.perf_counter() - start) * 1000)
print(",".join(n for n in ("torch", "transformers", "triton") if n in sys.modules))
"""


def measure(extension: str, folder: str) -> tuple[float, str]:
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, extension],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": folder, "HOME": folder},
    )
    elapsed_ms, heavy = ran.stdout.split("\n")[-3:-1]
    return float(elapsed_ms), heavy


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "empty_extension.py").write_text(
            "def load_ipython_extension(shell):\n    pass\n"
        )
        root = str(Path(__file__).resolve().parents[1])
        times: dict[str, list[float]] = {"empty_extension": [], "kernelllm_jupyter": []}
        heavy = ""
        for _ in range(RUNS):
            for name, measured in times.items():
                elapsed_ms, heavy = measure(name, f"{folder}:{root}")
                measured.append(elapsed_ms)
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    difference_ms = medians["kernelllm_jupyter"] - medians["empty_extension"]
    print(
        json.dumps(
            {
                "runs": RUNS,
                "median_ms": medians,
                "added_ms": difference_ms,
                "spread_ms": [min(times["kernelllm_jupyter"]), max(times["kernelllm_jupyter"])],
                "heavy_imports": heavy,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
