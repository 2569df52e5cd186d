"""A model server of one's own, for a team: vLLM where it is installed, else ``transformers serve``.

The server is another program's; here it is found, told what to serve, waited for, and ended. What
it serves comes from safetensors on this machine, fetched before, and runs no code of a checkpoint.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from kernelllm_jupyter.engines import LoadProgress, ProgressCallback
from kernelllm_jupyter.engines.checkpoint import fetch, is_folder_name
from kernelllm_jupyter.engines.http import Timeouts
from kernelllm_jupyter.engines.keys import Key
from kernelllm_jupyter.engines.remote import RemoteEngine
from kernelllm_jupyter.engines.retries import Retries
from kernelllm_jupyter.errors import EngineError, ServerError, UsageError
from kernelllm_jupyter.prompts import resolve_model

__all__ = ["Serving", "serve"]

#: What ``transformers serve`` imports.
NEEDED = ("fastapi", "uvicorn", "openai", "accelerate")
#: Both pack the weights while they load. vLLM has no 8 bits of bitsandbytes; its FP8 is as small.
VLLM_QUANTIZATION = {
    "none": (),
    "8bit": ("--quantization", "fp8"),
    "4bit": ("--quantization", "bitsandbytes"),
}
TRANSFORMERS_QUANTIZATION = {
    "none": (),
    "8bit": ("--quantization", "bnb-8bit"),
    "4bit": ("--quantization", "bnb-4bit"),
}
PR_SET_PDEATHSIG = 1
READY_WITHIN_S = 3600.0
LOOK_EVERY_S = 0.25
STOP_WITHIN_S = 15.0


@dataclass(frozen=True)
class Serving:
    """A server that is ready. ``url`` is what others give to ``-m``; ``program`` is what runs."""

    url: str
    program: str
    process: subprocess.Popen[bytes] = field(repr=False)


@dataclass(frozen=True)
class _Program:
    name: str
    command: list[str]
    environment: dict[str, str]


@contextmanager
def serve(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: Key | None = None,
    quantization: str = "none",
    progress: ProgressCallback,
) -> Iterator[Serving]:
    """Serve ``model`` until the context is left, then end the server and all that it started.

    ``quantization`` is ``none``, ``8bit`` or ``4bit``, in the way that the server has for it.
    The server's own output goes to standard error. Raises ``UsageError`` for what cannot be asked
    of it, ``EngineError`` where the model is not to be had or the server ends before it is ready.
    """
    if model.endswith(".gguf"):
        raise UsageError(
            "GGUF files are served best by llama.cpp: run `llama-server -m FILE`, and use it as "
            "-m http://127.0.0.1:8080#NAME."
        )
    port = _free_port(host, port)
    path = str(fetch(resolve_model(model), progress))
    with tempfile.TemporaryDirectory(prefix="kllm-serve-") as folder:
        name = _name(model, path, Path(folder))
        program = _program(name, path, host, port, key, quantization)
        # Its own session: the terminal's Ctrl-C reaches only us, and we end it in order.
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=2,  # Standard error: standard output is for the URL.
            cwd=folder,
            env={**os.environ, **program.environment},
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            own_url = f"http://{_bracketed(_own_way_to(host))}:{port}#{name}"
            progress(LoadProgress("load", f"{program.name} loads {model}"))
            _wait_until_ready(own_url, process, program.name, key)
            yield Serving(
                f"http://{_bracketed(_way_to(host))}:{port}#{name}", program.name, process
            )
        finally:
            _end(process)


# --- which program, and what it is told ----------------------------------------------------------


def _program(
    name: str, path: str, host: str, port: int, key: Key | None, quantization: str
) -> _Program:
    if importlib.util.find_spec("vllm") is not None:
        command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", path, "--served-model-name", name),
            *("--host", host, "--port", str(port)),
            # A request says how it is sampled; the checkpoint's own settings are not to join in.
            *("--generation-config", "vllm"),
            *VLLM_QUANTIZATION[quantization],
        ]
        # By the environment: everybody on a machine can read another's arguments.
        return _Program("vLLM", command, {"VLLM_API_KEY": key.secret} if key else {})
    if key is not None:
        raise UsageError(
            "`transformers serve` knows no keys: install vLLM (pip install vllm), or leave the key "
            "out and keep the server on this machine (--host 127.0.0.1)."
        )
    packed = quantization != "none"
    needed = (*NEEDED, "bitsandbytes") if packed else NEEDED
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        extras = "serve,quantization" if packed else "serve"
        raise EngineError(
            f"`transformers serve` needs {', '.join(missing)}: pip install "
            f"'kernelllm-jupyter[{extras}]', or vLLM on a GPU machine: pip install vllm"
        )
    if int(version("transformers").split(".")[0]) < 5:  # Its serve took no model before.
        raise EngineError(
            "`transformers serve` needs transformers 5: pip install -U transformers, or vLLM on a "
            "GPU machine: pip install vllm"
        )
    command = [
        *(sys.executable, "-m", "transformers.cli.transformers", "serve", name),
        *("--host", host, "--port", str(port)),
        *TRANSFORMERS_QUANTIZATION[quantization],
    ]
    return _Program("transformers serve", command, {"HF_HUB_OFFLINE": "1"})


def _name(model: str, path: str, folder: Path) -> str:
    """What the server calls the model: as the user does, so that it finds its profile anywhere.

    ``transformers serve`` calls a model by where it is, so it is put there: under its name in the
    server's working directory.
    """
    if is_folder_name(model):
        return path
    link = folder / model
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path, target_is_directory=True)
    return model


def _free_port(host: str, port: int) -> int:
    """``port``, or any free one for 0; raises ``UsageError`` where it cannot be listened at."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"No server can listen at {host}, port {port}: {error}. Choose another --port, or a "
            "--host of this machine."
        ) from None


def _own_way_to(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def _way_to(host: str) -> str:
    """How others reach what listens at ``host``."""
    return socket.gethostname() if host in ("0.0.0.0", "::", "") else host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# --- its life ------------------------------------------------------------------------------------


def _wait_until_ready(
    url: str, process: subprocess.Popen[bytes], program: str, key: Key | None
) -> None:
    """Ask as a client will, until the server has the model."""
    engine = RemoteEngine(url, timeouts=Timeouts(connect_s=2.0), retries=Retries(count=0), key=key)
    until = time.monotonic() + READY_WITHIN_S
    while True:
        if process.poll() is not None:
            raise EngineError(
                f"{program} ended (exit status {process.returncode}) before it was ready; what it "
                "printed above says why."
            )
        try:
            engine.load()
            return
        except ServerError:
            if time.monotonic() > until:
                raise
        time.sleep(LOOK_EVERY_S)


def _end_with_parent() -> None:
    """Be terminated when the process that started this one is gone, by whatever way (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the server, then kill what is left of its session; a second Ctrl-C hurries."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_WITHIN_S
        while _runs(process) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        # Before it is reaped: until then its number belongs to nobody else.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _runs(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is not None:
        return False
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return ended is None
