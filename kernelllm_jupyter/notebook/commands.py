"""``%kernelllm COMMAND``: models and workers, from inside a notebook."""

from __future__ import annotations

import threading
from typing import Any

from kernelllm_jupyter.address import server_address
from kernelllm_jupyter.engines import LoadProgress, get_engine
from kernelllm_jupyter.errors import EngineError

__all__ = ["doctor", "load", "load_in_background", "status", "stop", "unload"]


def load(model: str, quantization: str) -> None:
    """Load the model now; returns when it can generate."""
    get_engine(model, quantization=quantization).load(lambda step: print(step.message, flush=True))
    print(f"{model} is ready.")


def load_in_background(model: str, quantization: str) -> None:
    """Start loading and return; a failure shows at the first translation, which loads again."""

    def run() -> None:
        try:
            get_engine(model, quantization=quantization).load(_ignore)
        except EngineError:
            return

    threading.Thread(target=run, name="kernelllm-preload", daemon=True).start()


def _ignore(_: LoadProgress) -> None:
    return None


def unload(model: str, quantization: str) -> None:
    get_engine(model, quantization=quantization).unload()
    if server_address(model) is None:
        print(f"{model} is unloaded.")
    else:
        print(f"Connections to {model} are closed; the server keeps its model.")


def status(model: str, _: str) -> None:
    from kernelllm_jupyter.engines.local import running

    if server_address(model) is not None:
        _print_status(get_engine(model).status())
    engines = running()
    if not engines:
        print("No model process is running; the next translation starts one.")
    for engine in engines:
        _print_status(engine)


def _print_status(status: dict[str, Any]) -> None:
    print(", ".join(f"{name} {value}" for name, value in status.items()))


def stop(model: str, _: str) -> None:
    from kernelllm_jupyter.engines.local import stop_all
    from kernelllm_jupyter.verify.worker import shutdown

    stop_all()
    shutdown()
    print("Model processes and workers are ended; the next translation starts them again.")


def doctor(model: str, _: str) -> None:
    from kernelllm_jupyter.doctor import examine, findings_text

    print(findings_text(examine(model)))
