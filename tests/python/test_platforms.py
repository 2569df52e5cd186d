"""What works where Linux is not: translating does, and what does not says so in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: What macOS and Windows lack is taken from a fresh interpreter before it sees our package.
ELSEWHERE = """
import asyncio, fcntl, os, signal, socket, sqlite3, subprocess, sys, tempfile
import IPython.core.magic_arguments, httpx, platformdirs, traitlets.config
platform = sys.argv[1]
gone = {
    os: ["memfd_create", "MFD_CLOEXEC", "MFD_ALLOW_SEALING", "sched_getaffinity", "setns"],
    fcntl: [name for name in dir(fcntl) if "SEAL" in name],
}
if platform == "win32":
    gone[os] += ["getuid", "fork", "setsid", "killpg", "pwrite", "O_CLOEXEC", "O_NOFOLLOW"]
    gone[signal] = ["SIGKILL", "SIGHUP"]
    gone[socket] = ["AF_UNIX", "SO_PEERCRED"]
    for name in ("fcntl", "resource", "pwd", "termios"):
        sys.modules[name] = None
sys.modules["triton"] = None
for module, names in gone.items():
    for name in names:
        vars(module).pop(name, None)
sys.platform = platform

from kernelllm_jupyter import api, cli, evaluate
from kernelllm_jupyter.carried import Carried, is_sealed
from kernelllm_jupyter.errors import EngineError, WorkerError
from kernelllm_jupyter.engines import get_engine
from kernelllm_jupyter.engines.lifecycle import running
from kernelllm_jupyter.notebook import magic, run
from kernelllm_jupyter.values import Problem

carried = Carried([b"abc", b"de"])
os.lseek(carried.descriptor, 64, os.SEEK_SET)
assert (os.read(carried.descriptor, 9), is_sealed(carried.descriptor)) == (b"de", False)
get_engine("http://127.0.0.1:1#m")
for attempt in (
    lambda: get_engine("starter"),
    lambda: api.check("import torch\\nclass Model(torch.nn.Module):\\n"
                      "    def forward(self, x):\\n        return x\\n"
                      "def get_inputs():\\n    return [torch.rand(4)]\\n",
                      "class ModelNew: pass"),
):
    try:
        attempt()
        print("works")
    except (EngineError, WorkerError) as error:
        print(error)
if platform == "win32":
    assert running() == []
"""


@pytest.mark.parametrize(
    ("platform", "told"),
    [
        ("darwin", ["works", "Checks need Linux, where Triton runs."]),
        ("win32", ["needs Linux or macOS. On Windows work in WSL", "Checks need Linux"]),
    ],
)
def test_the_package_works_elsewhere_as_far_as_triton_is_not_needed(
    platform: str, told: list[str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, platform], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    for words, line in zip(told, ran.stdout.splitlines(), strict=True):
        assert words in line
