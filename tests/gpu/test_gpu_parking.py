"""A model leaves a real GPU while something is timed, and comes back with the same replies.

Run with ``pytest tests/gpu`` on a machine with a GPU that torch can use. Without one, everything
here is skipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

from engine_fixtures import make_checkpoint
from test_engine_faults import Heard
from test_gpu import WHY

from kernelllm_jupyter.values import Sampling

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY), reason=WHY or "there is a GPU")]

SHORT = Sampling(temperature=0.0, max_new_tokens=48)
BOUND_S = 300.0


def test_weights_caches_and_captured_passes_leave_the_gpu_and_come_back(tmp_path: Path) -> None:
    import torch

    from kernelllm_jupyter.engines.host import ModelHost

    folder = make_checkpoint(tmp_path / "checkpoint", hidden=512, layers=4, context=4096)
    host = ModelHost("tiny", str(folder), "cuda", "auto")
    host.load()
    assert not host.failed

    def written() -> str:
        heard = Heard()
        host.submit("class ModelNew", SHORT, heard)
        assert heard.over.wait(BOUND_S)
        return "".join(heard.said)

    # Also once passes are compiled: that they are is waited for by a park.
    with host.parked(0, lambda: None) as (gave, _):
        assert gave == "nothing", "there is room"
    way, before = host.status()["decoding"], written()
    held = torch.cuda.memory_allocated()
    for _ in range(2):
        with host.parked(None, lambda: None) as (gave, note):
            assert (gave, note) == ("weights", "")
            assert torch.cuda.memory_allocated() < held / 4
        assert written() == before
        assert host.status()["decoding"] == way
    assert torch.cuda.memory_allocated() <= 1.1 * held
