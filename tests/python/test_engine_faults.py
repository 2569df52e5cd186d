"""What goes wrong around a model's process, and that it is of use again afterwards."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import make_checkpoint
from family_fixtures import LLAMA, Kind, make_family_checkpoint

from kernelllm_jupyter.engines.local import LocalEngine, stop_all
from kernelllm_jupyter.errors import EngineDied, EngineError
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import profile_for
from kernelllm_jupyter.translate import Finished, Loading, translate
from kernelllm_jupyter.values import Sampling

SHORT = Sampling(temperature=0.0, max_new_tokens=4)
MODULE = (
    "import torch\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
)


@pytest.fixture(autouse=True)
def engines_end_with_their_test() -> Iterator[None]:
    yield
    stop_all()


def translation(engine: LocalEngine) -> Any:
    problem = parse_problem(MODULE, require_inputs=False)
    profile = profile_for(engine.model)
    return translate(problem, engine, profile, sampling=SHORT)


def test_a_load_that_is_cancelled_lets_go_at_once_and_the_next_use_finds_it_going_on(
    tmp_path: Path,
) -> None:
    engine = LocalEngine(str(make_checkpoint(tmp_path / "checkpoint", context=4096)))
    events = translation(engine)
    assert isinstance(next(events), Loading)
    # As an interrupted cell does: the generator is closed while the model is on its way.
    started = time.monotonic()
    events.close()
    closed_s = time.monotonic() - started
    assert engine.status()["state"] != "ready"
    again = list(translation(engine))
    assert isinstance(again[-1], Finished)
    # Nothing was waited for: all of what loading takes came after it.
    assert closed_s < (time.monotonic() - started) / 2


def test_a_process_can_be_stopped_before_it_has_said_a_word(tmp_path: Path) -> None:
    engine = LocalEngine(str(make_checkpoint(tmp_path / "checkpoint")))
    events = translation(engine)
    assert isinstance(next(events), Loading)
    events.close()
    engine.unload()
    assert engine.status()["state"] == "not running"


def test_a_load_that_is_stopped_elsewhere_ends_and_the_next_one_works(tmp_path: Path) -> None:
    engine = LocalEngine(str(make_checkpoint(tmp_path / "checkpoint")))
    loading, failures = threading.Event(), []

    def load() -> None:
        try:
            engine.load(lambda step: loading.set() if step.stage != "starting" else None)
        except EngineError as error:
            failures.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    assert loading.wait(60)
    engine.unload()
    thread.join(60)
    assert not thread.is_alive()
    assert [type(error) for error in failures] == [EngineDied]
    engine.load()
    assert engine.status()["state"] == "ready"


def full(*_: Any, **__: Any) -> Any:
    """What PyTorch raises where a GPU's memory is used up."""
    import torch

    raise torch.cuda.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB"
    )


class Heard:
    """A listener of one reply."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.over = threading.Event()

    def text(self, piece: str, tokens: int) -> None:
        self.said.append(piece)

    def end(self, finish: str, tokens: int) -> None:
        self.over.set()

    def fail(self, message: str) -> None:
        self.said.append(message)
        self.over.set()


def test_a_gpu_without_memory_is_told_while_loading_and_while_generating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, so that PyTorch can be made to say what it says on a GPU."""
    from transformers import LlamaForCausalLM

    from kernelllm_jupyter.engines.host import ModelHost

    folder = str(make_checkpoint(tmp_path / "checkpoint"))
    with monkeypatch.context() as patched:
        patched.setattr(LlamaForCausalLM, "to", full)
        host = ModelHost("tiny", folder, "cpu", "auto")
        host.load()
        assert host.failed
        with pytest.raises(EngineError, match=r"do not fit on cpu: CUDA out of memory.*--quant"):
            host.wait(lambda _: None, lambda: None)
    host = ModelHost("tiny", folder, "cpu", "auto")
    host.load()

    def generated() -> str:
        heard = Heard()
        host.submit("class ModelNew", SHORT, heard)
        assert heard.over.wait(60)
        return "".join(heard.said)

    before = generated()
    with monkeypatch.context() as patched:
        patched.setattr(LlamaForCausalLM, "forward", full)
        assert "the GPU is out of memory (CUDA out of memory." in generated()
        assert "Ask for fewer tokens or candidates" in generated()
    assert generated() == before, "it recovers"


def test_a_model_that_runs_out_of_memory_says_so_and_generates_again_when_there_is_some(
    tmp_path: Path,
) -> None:
    """The limit on the process is the memory that is left; a long prompt needs more than that."""

    def wide(tokenizer: Any, context: int) -> Any:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=16_384,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=context,
        )
        return LlamaForCausalLM(config)

    kind = Kind(wide, LLAMA.bos, LLAMA.eos, LLAMA.special, (), None, adds_bos=True)
    engine = LocalEngine(str(make_family_checkpoint(tmp_path / "wide", kind, context=16_384)))
    engine.load()
    pid = engine.status()["pid"]
    long = "x = 1\n" * 2_500
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    # The hard limit stays as it is: where it is finite, raising it takes a privilege.
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (used + 160 * 2**20, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(EngineError, match="out of memory"):
                list(engine.generate(long, SHORT))
            assert list(engine.generate("x", SHORT)) is not None
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    completion = engine.generate(long, SHORT)
    list(completion)
    assert completion.tokens
    assert engine.status()["pid"] == pid
