"""``%kernelllm COMMAND``: models and workers, from inside a notebook."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kernelllm_jupyter.address import server_address
from kernelllm_jupyter.engines import LoadProgress, get_engine
from kernelllm_jupyter.errors import KernelLLMError, UsageError
from kernelllm_jupyter.values import Translation

__all__ = ["carry_out", "load_in_background"]


def carry_out(arguments: argparse.Namespace, last: Translation | None = None) -> None:
    """Carry out ``arguments.command``; ``last`` is what this notebook translated last.

    Raises ``UsageError`` where the command takes no such arguments.
    """
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        "load": load,
        "unload": unload,
        "status": status,
        "stop": stop,
        "history": history,
        "show": show,
        "export": partial(export, last=last),
        "doctor": doctor,
    }
    most = WORDS.get(arguments.command, 0)
    if len(arguments.words) > most:
        extra = " ".join(arguments.words[most:])
        raise UsageError(f"%kernelllm {arguments.command} does not take {extra!r}.")
    commands[arguments.command](arguments)


#: How many arguments a command takes at most, where it takes any.
WORDS = {"show": 1, "export": 2}


def load(arguments: argparse.Namespace) -> None:
    """Load the model now; returns when it can generate."""
    engine = get_engine(arguments.model, quantization=arguments.quantization)
    engine.load(lambda step: print(step.message, flush=True))
    print(f"{arguments.model} is ready.")


def load_in_background(model: str, quantization: str) -> None:
    """Start loading and return; a failure shows at the first translation, which loads again."""

    def run() -> None:
        try:
            get_engine(model, quantization=quantization).load(_ignore)
        except KernelLLMError:
            return

    threading.Thread(target=run, name="kernelllm-preload", daemon=True).start()


def _ignore(_: LoadProgress) -> None:
    return None


def unload(arguments: argparse.Namespace) -> None:
    model = arguments.model
    get_engine(model, quantization=arguments.quantization).unload()
    if server_address(model) is None:
        print(f"{model} is unloaded.")
    else:
        print(f"Connections to {model} are closed; the server keeps its model.")


def status(arguments: argparse.Namespace) -> None:
    from kernelllm_jupyter.engines.local import running

    model = arguments.model
    if server_address(model) is not None:
        _print_status(get_engine(model).status())
    engines = running()
    if not engines:
        print("No model process is running; the next translation starts one.")
    for engine in engines:
        _print_status(engine)


def _print_status(status: dict[str, Any]) -> None:
    print(", ".join(f"{name} {value}" for name, value in status.items()))


def stop(_: argparse.Namespace) -> None:
    from kernelllm_jupyter.engines.local import stop_all
    from kernelllm_jupyter.verify.worker import shutdown

    stop_all()
    shutdown()
    print("Model processes and workers are ended; the next translation starts them again.")


def doctor(arguments: argparse.Namespace) -> None:
    from IPython import get_ipython

    from kernelllm_jupyter.doctor import examine, findings_text
    from kernelllm_jupyter.notebook.cell import front_end
    from kernelllm_jupyter.notebook.settings import of_shell

    shell = get_ipython()
    settings = of_shell(shell)
    in_use = front_end() is not None if hasattr(shell, "kernel") else None
    found = examine(
        arguments.model,
        settings=settings.examined() if settings else [],
        extension_in_use=in_use,
    )
    print(findings_text(found))


def history(arguments: argparse.Namespace) -> None:
    from kernelllm_jupyter.history import history_html, history_text
    from kernelllm_jupyter.records import Records

    if arguments.limit < 1:
        raise UsageError("--limit takes a number of at least 1.")
    found = Records().summaries(arguments.limit)
    _display(history_text(found), history_html(found))


def show(arguments: argparse.Namespace) -> None:
    from kernelllm_jupyter.history import record_html, record_text
    from kernelllm_jupyter.records import Records

    record = Records().find(arguments.words[0] if arguments.words else "last")
    _display(record_text(record), record_html(record))


def export(arguments: argparse.Namespace, last: Translation | None) -> None:
    """``export PATH``: what was translated last; ``export ID PATH``: a record's code."""
    from kernelllm_jupyter.export import Exported, choose, drawn_note, export_to
    from kernelllm_jupyter.records import Records

    if not arguments.words:
        raise UsageError("%kernelllm export takes PATH, or a record's ID and PATH.")
    *keys, path = arguments.words
    if keys or (last is not None and last.record is not None):
        key = keys[0] if keys else str(last and last.record)
        what = choose(Records().find(key))
        if last is not None and last.record == what.record:
            what = replace(what, values=last.problem.live)
    elif last is not None:
        what = Exported.of(last)
    else:
        raise UsageError(
            "Nothing was translated in this session: name a record (%kernelllm history lists "
            "them), then the path."
        )
    asked = {"unverified": arguments.unverified, "with_weights": arguments.with_weights}
    for written in export_to(Path(path).expanduser(), what, **asked):
        print(written)
    if not arguments.with_weights and (note := drawn_note(what)):
        print(note)


def _display(text: str, html: str) -> None:
    """In a notebook as HTML, in a terminal as text."""
    from IPython.display import display

    display({"text/plain": text, "text/html": html}, raw=True)
