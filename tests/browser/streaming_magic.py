"""An IPython extension for the tests: streams text of known content at a set rate.

It uses ``kernelllm_jupyter.notebook.cell`` and nothing else of ours, so that what is measured is
the way from the Jupyter kernel into the cell.
"""

from __future__ import annotations

import time
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from kernelllm_jupyter.notebook import cell as cells


def text_of(length: int) -> str:
    """``length`` characters of Python whose lines are numbered, so that any garbling shows."""
    lines = []
    size = 0
    while size < length:
        lines.append(f"offsets_{len(lines)} = base + {len(lines)} * BLOCK\n")
        size += len(lines[-1])
    return "".join(lines)[:length]


def load_ipython_extension(shell: Any) -> None:
    shell.register_magics(Streaming)


@magics_class
class Streaming(Magics):
    front: cells.FrontEnd | None = None

    @cell_magic
    def stream(self, line: str, source: str) -> None:
        """``%%stream length=8000 rate=200 size=4``: pieces of ``size``, ``rate`` a second."""
        options = dict(pair.split("=") for pair in line.split())
        size = int(options.get("size", 4))
        text = options.get("text") or text_of(int(options.get("length", 800)))
        period = 1 / float(options.get("rate", 200))
        front = cells.front_end()
        Streaming.front = front
        cell: cells.GeneratedCell
        cell = cells.CellStream(front) if front else cells.FallbackCell(self.shell)
        begin = time.perf_counter()
        sent = ""
        try:
            for at in range(0, len(text), size):
                time.sleep(max(0.0, begin + at / size * period - time.perf_counter()))
                sent += text[at : at + size]
                cell.write(text[at : at + size])
        except KeyboardInterrupt:
            cell.finish(sent, "stopped")
            print(f"stopped after {len(sent)}")
        else:
            cell.finish(text, "complete")
            print("finished by", type(cell).__name__)

    @line_magic
    def replace(self, line: str) -> None:
        assert self.front is not None
        cells.replace_generated(self.front, line)
