"""How the engine decodes on a real GPU. Without one, everything here is skipped."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

from family_fixtures import DEEPSEEK, LLAMA, QWEN, Kind, make_family_checkpoint
from test_engine_stepping import reply, tokens

from kernelllm_jupyter.engines import decoding
from kernelllm_jupyter.engines.loading import LoadedModel, load_checkpoint
from kernelllm_jupyter.engines.stepping import ROOM_STEP_ALONE, decode

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
]


@pytest.fixture(scope="module", params=[LLAMA, QWEN, DEEPSEEK], ids=["llama", "qwen2", "deepseek"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """In float32: in fewer bits one token at a time may round otherwise than eight."""
    kind: Kind = request.param
    folder = make_family_checkpoint(tmp_path_factory.mktemp("m") / "m", kind)
    return load_checkpoint(folder, "cuda", "float32")


def replies(loaded: LoadedModel, count: int) -> list[Any]:
    prompt = loaded.prompt_ids("import torch\nimport triton\nimport torch\nimport triton\n")
    temperatures = [0.0 if at == 0 else 0.6 for at in range(count)]
    return [
        reply(prompt, 40 - 9 * at, seed=at, temperature=temperature, top_p=0.9)
        for at, temperature in enumerate(temperatures)
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_captured_and_compiled_passes_write_what_generate_writes(
    loaded: LoadedModel, count: int
) -> None:
    stepper = loaded.stepper
    if stepper is None:
        pytest.skip("this architecture is decoded by generate()")
    expected = replies(loaded, count)
    decoding.generate(loaded, expected)
    for _ in range(2):  # The second time the passes are captured already.
        found = replies(loaded, count)
        assert decode(stepper, found)
        assert tokens(found) == tokens(expected)
    assert stepper._kept, "the passes were captured"
    if count == 1:
        stepper.compile()
        assert stepper._compiled is not None
        assert stepper._compiled.slots.size == ROOM_STEP_ALONE
        found = replies(loaded, count)
        assert decode(stepper, found)
        assert tokens(found) == tokens(expected)


def test_plain_architectures_are_decoded_by_captured_passes(tmp_path: Path) -> None:
    folder = make_family_checkpoint(tmp_path / "m", LLAMA)
    assert load_checkpoint(folder, "cuda", "auto").stepper is not None


def test_a_full_gpu_leaves_the_engine_of_use(loaded: LoadedModel) -> None:
    expected = replies(loaded, 3)
    decoding.decode_batch(loaded, expected)
    if loaded.stepper is not None:
        loaded.stepper.forget()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - 64 * 2**20), dtype=torch.uint8, device="cuda")
    try:
        wide = [reply([1] * 4000, 4, seed) for seed in range(16)]
        with contextlib.suppress(torch.OutOfMemoryError):
            decoding.decode_batch(loaded, wide)
    finally:
        del taken
        torch.cuda.empty_cache()
    again = replies(loaded, 3)
    decoding.decode_batch(loaded, again)
    assert tokens(again) == tokens(expected)
