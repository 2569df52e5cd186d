"""Fixtures that several test files share; all of them start the real thing."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

#: A problem that the starter model translates and the interpreter checks in a moment.
SMALL_MODULE = '''\
import torch
import torch.nn as nn


class Model(nn.Module):
    """A scaled rectifier."""

    def forward(self, x):
        return torch.relu(x) * 2.5


def get_inputs():
    return [torch.randn(4, 33)]
'''


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """An interrupt reaches this process and what it starts, also where a shell's job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_runtime_folder() -> Iterator[Path]:
    """Model processes of the tests live in a folder of their own, and end with them."""
    # A short path: that of a Unix socket may have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="kllm-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder
        from kernelllm_jupyter.engines.local import stop_all

        stop_all()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def own_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test writes to the records of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERNELLLM_DATA", str(folder))
        yield folder


@pytest.fixture
def small_module() -> str:
    return SMALL_MODULE
