"""``kernelllm serve``: a model server for a team, and the URL that its members name.

The URL is the only line on standard output; what the server prints goes to standard error. Ctrl-C
ends both.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from kernelllm_jupyter.address import server_address
from kernelllm_jupyter.commands.terminal import FAILED, say
from kernelllm_jupyter.engines.keys import Key
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.options import add_options

__all__ = ["add_arguments", "run"]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``kernelllm serve``."""
    command.add_argument(
        "-m",
        "--model",
        default="starter",
        metavar="NAME",
        help="Hugging Face id, local folder, or 'starter' (the default)",
    )
    command.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (127.0.0.1: this machine only; 0.0.0.0: every network)",
    )
    command.add_argument("--port", type=int, default=8000, help="port (8000); 0 takes a free one")
    add_options(command, "--quantization")
    command.add_argument(
        "--api-key",
        action="store_true",
        help="serve only those who have the key in KERNELLLM_API_KEY (vLLM only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; an exit status is only returned where the server ends by itself."""
    from kernelllm_jupyter.engines.serving import serve

    if server_address(arguments.model) is not None:
        raise UsageError(f"{arguments.model} is served already; name a model, not a server.")
    if sys.platform == "win32":
        raise UsageError("kernelllm serve needs Linux or macOS. On Windows serve in WSL.")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    key = _key(arguments.api_key)
    with serve(
        arguments.model,
        host=arguments.host,
        port=arguments.port,
        key=key,
        quantization=arguments.quantization or "none",
        progress=lambda step: say(f"[{step.message}]"),
    ) as serving:
        say(f"[{serving.program} is ready; Ctrl-C ends it. In a notebook: %%kernelllm -m URL]")
        address = server_address(serving.url)
        if address is not None and not address.on_this_machine and key is None:
            say("[Everybody who can reach this address can use it: there is no key.]")
        print(serving.url, flush=True)
        status = serving.process.wait()
    say(f"kernelllm: {serving.program} ended (exit status {status}).")
    return FAILED


def _key(wanted: bool) -> Key | None:
    if not wanted:
        return None
    secret = os.environ.get("KERNELLLM_API_KEY", "").strip()
    if not secret:
        raise UsageError(
            "--api-key takes the key from KERNELLLM_API_KEY, which is not set. (Not from the "
            "command line, where everybody on the machine could read it.)"
        )
    return Key(secret, "KERNELLLM_API_KEY")


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
