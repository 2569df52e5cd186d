"""Models that are not there, or not whole: an error at once that says what to do."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_fixtures import make_checkpoint
from model_hub import Hub, serving_hub

from kernelllm_jupyter.engines import LoadProgress
from kernelllm_jupyter.engines.local import LocalEngine, running, stop_all
from kernelllm_jupyter.errors import CheckpointError, EngineError, ModelNotFound
from kernelllm_jupyter.values import Sampling

SHORT = Sampling(temperature=0.0, max_new_tokens=8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))


@pytest.fixture
def runtime() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="kllm-"))
    yield place
    stop_all(place)
    shutil.rmtree(place)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache of the test's own, for the process that the engine starts."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def break_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def lose_a_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def lose(*names: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def need_remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="made_here", auto_map={"AutoModelForCausalLM": "model.Mine"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.py").write_text("raise SystemExit('it ran')\n")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lose("model.safetensors"), "no weights.*model.safetensors"),
        (lose("config.json"), "no config.json"),
        (lose("tokenizer.json"), "no tokenizer"),
        (pickle_weights, "pickled .pytorch_model.bin"),
        (lose_a_shard, "model-00002-of-00002.safetensors missing"),
    ],
)
def test_an_incomplete_folder_is_refused_before_anything_starts(
    folder: Path, runtime: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=f"(?s){told}") as caught:
        LocalEngine(str(folder), runtime_dir=runtime).load()
    assert str(folder) in str(caught.value)
    assert running(runtime) == []


@pytest.mark.parametrize("damage", [break_weights, need_remote_code])
def test_a_folder_that_cannot_be_loaded_is_an_error_and_leaves_no_process(
    folder: Path, runtime: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    engine = LocalEngine(str(folder), runtime_dir=runtime)
    with pytest.raises(CheckpointError, match="cannot be loaded") as caught:
        engine.load()
    assert str(folder) in str(caught.value)
    assert "it ran" not in str(caught.value)
    with pytest.raises(CheckpointError):
        list(engine.generate("x", SHORT))
    stop_all(runtime)
    assert running(runtime) == []


def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(
    tmp_path: Path, runtime: Path
) -> None:
    for name in (str(tmp_path / "nothing"), "./nothing", "~/no such folder/at all"):
        with pytest.raises(ModelNotFound, match="no folder"):
            LocalEngine(name, runtime_dir=runtime).load()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set"),
        # A port at which nothing listens: what a machine without a network sees.
        ("HF_ENDPOINT", "http://127.0.0.1:9", "cannot be reached"),
    ],
)
def test_an_id_without_a_network_is_an_error_that_names_the_ways_out(
    variable: str,
    value: str,
    told: str,
    empty_cache: Path,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    engine = LocalEngine("somebody/no-such-model", runtime_dir=runtime)
    with pytest.raises(ModelNotFound, match=told) as caught:
        engine.load()
    for remedy in ("hf download somebody/no-such-model", "local folder", "-m starter"):
        assert remedy in str(caught.value)


def test_an_impossible_name_is_told_apart_from_a_missing_model(
    empty_cache: Path, runtime: Path
) -> None:
    with pytest.raises(ModelNotFound, match="neither a folder here nor a possible"):
        LocalEngine("not an id!", runtime_dir=runtime).load()


def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(
    folder: Path, runtime: Path
) -> None:
    size = 2**42  # 4 TiB, nearly all of it a hole.
    tensor = {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, size]}
    header = json.dumps({"model.norm.weight": tensor}).encode()
    with open(folder / "model.safetensors", "wb") as weights:
        weights.write(len(header).to_bytes(8, "little") + header)
        weights.truncate(8 + len(header) + size)
    with pytest.raises(EngineError, match="needs about 4096.0 GiB of memory.*are available on cpu"):
        LocalEngine(str(folder), device="cpu", runtime_dir=runtime).load()


def test_a_gpu_that_is_not_there_is_an_error_in_words(folder: Path, runtime: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match="sees no GPU"):
        LocalEngine(str(folder), device="cuda", runtime_dir=runtime).load()
    with pytest.raises(EngineError, match="no dtype"):
        LocalEngine(str(folder), dtype="int3", runtime_dir=runtime).load()


def test_the_dtype_asked_for_is_the_dtype_loaded(folder: Path, runtime: Path) -> None:
    engine = LocalEngine(str(folder), dtype="bf16", device="cpu", runtime_dir=runtime)
    engine.load()
    assert engine.status()["dtype"] == "bfloat16"
    completion = engine.generate("class A", SHORT)
    list(completion)
    assert completion.finish in ("stop", "length")


# --- fetching, from a hub on this machine that speaks the real one's protocol --------------------


@pytest.fixture
def hub(whole: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub(whole) as served:
        served.files["kernelllm.py"] = b"PROMPT_TEMPLATE = 'Translate {}'\n"
        served.files["original/consolidated.00.pth"] = b"the weights a second time"
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


def test_a_model_is_fetched_once_and_then_needs_no_network(
    hub: Hub, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[LoadProgress] = []
    engine = LocalEngine("somebody/model", runtime_dir=runtime)
    engine.load(steps.append)
    assert "download" in [step.stage for step in steps]
    downloads = [step for step in steps if step.stage == "download"]
    assert all(step.total_bytes for step in downloads)
    fetched = "".join("".join(engine.generate("class A", SHORT)))
    assert not [path for path in hub.asked if "consolidated" in path]
    engine.unload()
    hub.asked.clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    engine.load()
    assert "".join(engine.generate("class A", SHORT)) == fetched
    assert hub.asked == []


def test_the_template_of_a_fetched_model_is_used_for_its_prompts(
    hub: Hub, runtime: Path, empty_cache: Path
) -> None:
    LocalEngine("somebody/model", runtime_dir=runtime).load()
    (script,) = empty_cache.rglob("kernelllm.py")
    from kernelllm_jupyter.prompts import KernelLLMProfile
    from kernelllm_jupyter.values import Problem

    prompt = KernelLLMProfile(str(script.parent)).prompt(Problem("class Model: pass", "Model"))
    assert prompt == "Translate class Model: pass"


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ((401, "RepoNotFound"), "no model 'somebody/model'"),
        ((404, "RepoNotFound"), "no model 'somebody/model'"),
        ((403, "GatedRepo"), "licence.*hf auth login"),
        ((401, "GatedRepo"), "licence.*hf auth login"),
        ((403, ""), "licence.*hf auth login"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    hub: Hub, runtime: Path, refusal: tuple[int, str], told: str
) -> None:
    hub.refusal = refusal
    with pytest.raises(ModelNotFound, match=told):
        LocalEngine("somebody/model", runtime_dir=runtime).load()


def test_pickled_weights_are_not_even_fetched(hub: Hub, runtime: Path) -> None:
    hub.files["pytorch_model.bin"] = hub.files.pop("model.safetensors")
    with pytest.raises(CheckpointError, match="no safetensors weights"):
        LocalEngine("somebody/model", runtime_dir=runtime).load()
    assert not [path for path in hub.asked if path.endswith(".bin")]


def test_a_download_that_broke_off_is_completed(hub: Hub, runtime: Path, empty_cache: Path) -> None:
    engine = LocalEngine("somebody/model", runtime_dir=runtime)
    engine.load()
    engine.unload()
    (weights,) = empty_cache.rglob("snapshots/*/model.safetensors")
    weights.resolve().unlink()
    weights.unlink()
    hub.asked.clear()
    engine.load()
    assert [path for path in hub.asked if path.endswith("model.safetensors")]
    assert weights.is_file()
