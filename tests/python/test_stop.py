"""Stop while something goes on that is neither writing nor checking: a download, a benchmark."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_MODULE
from engine_fixtures import make_checkpoint
from jupyter_session import MARKER, JupyterSession
from model_hub import Hub, serving_hub

from kernelllm_jupyter.engines.local import running
from kernelllm_jupyter.verify.gpu import gpu_present


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with serving_hub(make_checkpoint(tmp_path_factory.mktemp("checkpoint"))) as served:
        yield served


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def session(hub: Hub, cache: Path) -> Iterator[JupyterSession]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(cache))
        for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
            patch.delenv(name, raising=False)
        for name, value in hub.environment.items():
            patch.setenv(name, value)
        session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


def when_told(words: str, act: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """Calls ``act`` once, when the panel says ``words``."""
    pending = [act]

    def on_message(message: dict[str, Any]) -> None:
        if pending and words in json.dumps(message["content"]):
            pending.pop()()

    return on_message


def test_a_download_is_stopped_with_its_process_and_leaves_nothing_half_done(
    hub: Hub, cache: Path, session: JupyterSession
) -> None:
    hub.slow = True

    def stop() -> None:
        assert hub.half_sent.wait(60)
        session.interrupt()

    magic = f"%%kernelllm -m somebody/model --no-check --max-new-tokens 4\n{SMALL_MODULE}"
    told = when_told("Downloading somebody/model", stop)
    ran = session.run(magic, metadata=MARKER, on_message=told)
    assert ran.failed
    assert "The download of somebody/model was stopped; the files that had arrived" in ran.error
    assert "Traceback" not in ran.error
    assert not hub.released.is_set()
    # Nobody else waits for it, so that its process goes, too.
    until = time.monotonic() + 60
    while any(found["model"] == "somebody/model" for found in running()):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert list(cache.rglob("*.incomplete")) == []


#: Only what a benchmark counts, in a process of its own, takes for ever.
SLOW_TO_COUNT = SMALL_MODULE.replace(
    "    return [torch.randn(4, 33)]",
    """    if "counted" in __file__:
        time.sleep(600)
    return [torch.randn(4, 33)]""",
).replace("import torch", "import time\nimport torch", 1)


@pytest.mark.skipif(gpu_present(), reason="a GPU is measured instead")
def test_a_benchmark_in_the_cell_is_stopped_and_code_and_verdict_stay(
    session: JupyterSession,
) -> None:
    ran = session.run(
        f"%%kernelllm --benchmark\n{SLOW_TO_COUNT}",
        metadata=MARKER,
        on_message=when_told("Timing", session.interrupt),
    )
    assert ran.failed
    assert "The timing was stopped; code and verdict stay." in ran.error
    assert "Traceback" not in ran.error
    assert "Correct: agrees with the PyTorch module" in ran.bundles[-1]["text/plain"]
    assert session.value("(_kernelllm.verdict.verdict, _kernelllm.timing)") == ("correct", None)
    # The next one has its worker.
    assert not session.run(f"%%kernelllm --benchmark\n{SMALL_MODULE}", metadata=MARKER).failed
    assert session.value("_kernelllm.timing.work is not None")
