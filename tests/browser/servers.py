"""Real JupyterLab and Notebook 7 servers that see the built extension and no user's settings."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "kernelllm_jupyter" / "labextension"

#: For Chromium, also as root and in a container.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@dataclass(frozen=True)
class Server:
    """A running server: where it listens and the folder that it serves."""

    kind: str
    url: str
    folder: Path
    environment: dict[str, str]


def serve(kind: str, place: Path, *, extension: bool = True) -> Iterator[Server]:
    """Run a server in ``place``, with our extension or without, until the generator is closed."""
    if not (BUILT / "package.json").exists():
        raise RuntimeError("The front end is not built: run `jlpm install && jlpm build:prod`.")
    folder = place / "notebooks"
    folder.mkdir()
    extensions = place / "share" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "kernelllm-jupyter").symlink_to(BUILT)
    settings = place / "config" / "labconfig"
    settings.mkdir(parents=True)
    # Named rather than left out, as it may be installed for this Python, too.
    disabled = {"@jupyterlab/apputils-extension:announcements": True}
    disabled["kernelllm-jupyter"] = not extension
    (settings / "page_config.json").write_text(json.dumps({"disabledExtensions": disabled}))
    environment = {
        **os.environ,
        "JUPYTER_PATH": str(place / "share"),
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_DATA_DIR": str(place / "data"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "KERNELLLM_DATA": str(place / "records"),
        "IPYTHONDIR": str(place / "ipython"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        "OMP_NUM_THREADS": "1",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (place / "server.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab" if kind == "lab" else "notebook",
            "--no-browser",
            "--allow-root",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={folder}",
            "--IdentityProvider.token=",
            "--expose-app-in-browser",
        ],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(server, url, place / "server.log")
        yield Server(kind, url, folder, environment)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        log.close()


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{url}/api/status", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            try:
                server.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"The server ended:\n{log.read_text()}") from None
