"""An IPython extension for the tests: streams text of known content at a set rate.

It uses ``kernelllm_jupyter.notebook.cell`` and nothing else of ours, so that what is tested is
the way from the Jupyter kernel into the cell and back.
"""

from __future__ import annotations

import json
import time
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from kernelllm_jupyter.notebook import cell as cells


def text_of(length: int) -> str:
    """``length`` characters of Python whose lines are numbered, so that any garbling shows."""
    lines: list[str] = []
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
        """``%%stream length=8000 rate=200 size=4``: pieces of ``size``, ``rate`` a second.

        ``text=x`` streams that word instead, ``stop=1`` shows a Stop button meanwhile,
        ``stamps=1`` prints when (Unix time, ms) how many characters had been written.
        """
        options = dict(pair.split("=") for pair in line.split())
        size = int(options.get("size", 4))
        text = options.get("text") or text_of(int(options.get("length", 800)))
        if "stop" in options:
            _show_button("Stop", "kllm-stop")
        front = cells.front_end()
        self.front = front
        cell: cells.GeneratedCell
        cell = cells.CellStream(front) if front else cells.FallbackCell(self.shell)
        sent = ""
        stamps = []
        try:
            for piece in _paced(text, size, float(options.get("rate", 200))):
                sent += piece
                cell.write(piece)
                stamps.append((round(time.time() * 1000), len(sent)))
        except KeyboardInterrupt:
            cell.finish(sent, "stopped")
            print(f"stopped after {len(sent)}")
        else:
            cell.finish(text, "complete")
            print(
                json.dumps(stamps) if "stamps" in options else f"finished by {type(cell).__name__}"
            )

    @line_magic
    def reader(self, line: str) -> None:
        """Show a button that reads the cell streamed last, and next to it what it read."""
        import ipywidgets

        front = self.front
        assert front is not None
        label = _show_button("Read", "test-read")

        def click(_: ipywidgets.Button) -> None:
            cells.read_generated(front, lambda source: setattr(label, "value", f"<{source!r}>"))

        label.button.on_click(click)


def _paced(text: str, size: int, rate: float) -> Any:
    begin = time.perf_counter()
    for count, at in enumerate(range(0, len(text), size)):
        time.sleep(max(0.0, begin + count / rate - time.perf_counter()))
        yield text[at : at + size]


def _show_button(description: str, css_class: str) -> Any:
    import ipywidgets
    from IPython.display import display

    button = ipywidgets.Button(description=description)
    button.add_class(css_class)
    label = ipywidgets.Label()
    label.button = button
    display(ipywidgets.HBox([button, label]))
    return label
