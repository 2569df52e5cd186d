"""Models in fewer bits and from GGUF files: what they need is told before, and they generate."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import make_checkpoint
from gguf_fixtures import write_gguf

from kernelllm_jupyter.engines import LoadProgress
from kernelllm_jupyter.engines.local import LocalEngine, running, stop_all
from kernelllm_jupyter.engines.memory import GIB, MemoryNeed, memory_need, refuse_if_too_large
from kernelllm_jupyter.errors import CheckpointError, EngineError, ModelNotFound, UsageError
from kernelllm_jupyter.values import Sampling

SHORT = Sampling(temperature=0.0, max_new_tokens=16)
PROMPT = "class ModelNew"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    # Wide enough for bitsandbytes' blocks.
    return make_checkpoint(folder, hidden=256, endless=True)


@pytest.fixture(scope="module")
def gguf(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(checkpoint, tmp_path_factory.mktemp("gguf") / "tiny model.gguf")


@pytest.fixture
def runtime() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kllm-")) / "run"
    try:
        yield folder
        if folder.exists():
            stop_all(folder)
    finally:
        shutil.rmtree(folder.parent)


def loaded(path: Path, quantization: str = "none", **options: Any) -> Any:
    from kernelllm_jupyter.engines.loading import load_checkpoint

    return load_checkpoint(path, "cpu", "auto", quantization, **options)


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make packages look as if they were not installed."""
    found = importlib.util.find_spec

    def find(name: str, *arguments: Any) -> Any:
        return None if name in packages else found(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find)


# --- what a model will need ----------------------------------------------------------------------


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
def test_the_memory_that_is_told_is_what_the_weights_take(
    checkpoint: Path, quantization: str
) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint)
    need = memory_need(checkpoint, config, 4, "float32", quantization)
    taken = loaded(checkpoint, quantization).model.get_memory_footprint()
    assert need.weights_bytes == pytest.approx(taken, rel=0.05)


def test_the_cache_that_is_told_is_what_generating_takes(checkpoint: Path) -> None:
    import torch
    from transformers import AutoConfig

    need = memory_need(checkpoint, AutoConfig.from_pretrained(checkpoint), 4, "float32")
    model = loaded(checkpoint).model
    with torch.no_grad():
        cache = model(torch.zeros(1, 64, dtype=torch.long), use_cache=True).past_key_values
    taken = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert need.cache_tokens == 512
    assert need.cache_bytes == taken * 512 // 64


def test_deepseeks_cache_is_counted_as_transformers_keeps_it(tmp_path: Path) -> None:
    from transformers import DeepseekV3Config

    config = DeepseekV3Config(
        num_hidden_layers=2, num_attention_heads=4, kv_lora_rank=8, q_lora_rank=8
    )
    each = config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim
    assert memory_need(tmp_path, config, 2, "bfloat16").cache_bytes == 2 * 4 * each * 4096 * 2


def test_what_cannot_fit_is_refused_with_the_ways_out() -> None:
    need = MemoryNeed(16 * GIB, GIB // 2, 4096, "bfloat16")
    refuse_if_too_large(need, "m", "on cuda", 17 * GIB)
    refuse_if_too_large(need, "m", "on cuda", None)
    with pytest.raises(EngineError) as caught:
        refuse_if_too_large(need, "m", "on cuda", 16 * GIB)
    for said in ("m needs about 16.5 GiB", "16.0 GiB are available on cuda", "--quantization"):
        assert said in str(caught.value)


# --- fewer bits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_fewer_bits_give_nearly_the_same_distribution(checkpoint: Path, quantization: str) -> None:
    import torch

    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        whole = loaded(checkpoint).model(ids).logits.float().flatten()
        packed = loaded(checkpoint, quantization).model(ids).logits.float().flatten()
    assert torch.cosine_similarity(whole, packed, dim=0) > 0.9


@pytest.mark.parametrize(
    ("quantization", "missing"),
    [("8bit", "bitsandbytes"), ("4bit", "bitsandbytes"), ("8bit", "accelerate")],
)
def test_a_missing_package_is_named_with_its_extra(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, quantization: str, missing: str
) -> None:
    hide(monkeypatch, missing)
    with pytest.raises(EngineError, match=rf"{missing} is missing.*\[quantization\]"):
        loaded(checkpoint, quantization)


def test_models_in_other_bits_live_in_processes_of_their_own_and_say_what_they_need(
    checkpoint: Path, runtime: Path
) -> None:
    whole = LocalEngine(str(checkpoint), device="cpu", runtime_dir=runtime)
    packed = LocalEngine(str(checkpoint), device="cpu", quantization="8bit", runtime_dir=runtime)
    steps: list[LoadProgress] = []
    whole.load()
    packed.load(steps.append)
    [told] = [step.message for step in steps if "needs about" in step.message]
    assert "of weights in 8bit and float32" in told
    assert steps[-1].message != told, "it is told before the model is ready"
    assert "".join(packed.generate(PROMPT, SHORT))
    assert len(running(runtime)) == 2
    assert packed.status()["quantization"] == "8bit"
    assert packed.status()["memory_bytes"] < whole.status()["memory_bytes"]
    packed.unload()
    assert whole.status()["state"] == "ready"


def test_an_unknown_quantization_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="none, 8bit, 4bit"):
        LocalEngine(str(checkpoint), quantization="2bit")


# --- GGUF ----------------------------------------------------------------------------------------


def test_a_gguf_file_writes_what_its_checkpoint_writes(
    checkpoint: Path, gguf: Path, runtime: Path
) -> None:
    told: list[LoadProgress] = []
    from_file = LocalEngine(str(gguf), device="cpu", runtime_dir=runtime)
    from_file.load(told.append)
    from_folder = LocalEngine(str(checkpoint), device="cpu", runtime_dir=runtime)
    expected = "".join(from_folder.generate(PROMPT, SHORT))
    assert expected
    assert "".join(from_file.generate(PROMPT, SHORT)) == expected
    assert [step for step in told if "needs about" in step.message]
    assert from_file.status()["parameters"] == from_folder.status()["parameters"]


def test_a_gguf_file_that_is_none_or_not_there_is_an_error(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(CheckpointError, match="is no GGUF file"):
        LocalEngine(str(tmp_path / "text.gguf"), runtime_dir=runtime).load()
    with pytest.raises(ModelNotFound, match="There is no file"):
        LocalEngine("nothing.gguf", runtime_dir=runtime).load()
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(CheckpointError, match="cut.gguf cannot be loaded"):
        LocalEngine(str(tmp_path / "cut.gguf"), device="cpu", runtime_dir=runtime).load()


def test_a_gguf_file_is_not_quantized_again(gguf: Path) -> None:
    with pytest.raises(EngineError, match="quantized as it is"):
        loaded(gguf, "4bit")


def test_what_a_gguf_file_needs_is_named(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "gguf")
    with pytest.raises(EngineError, match=r"gguf is missing.*\[gguf\]"):
        loaded(gguf)
