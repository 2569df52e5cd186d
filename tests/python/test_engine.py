"""The local engine, end to end: a real process, a real socket, a real (tiny) checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import make_checkpoint

from kernelllm_jupyter.engines import LoadProgress, get_engine
from kernelllm_jupyter.engines.local import LocalEngine, running, stop_all
from kernelllm_jupyter.engines.runtime import ServerFiles
from kernelllm_jupyter.errors import EngineDied, EngineError
from kernelllm_jupyter.values import Sampling

PROMPT = "class ModelNew"
SHORT = Sampling(temperature=0.0, max_new_tokens=24)
#: More than any test waits for: it must be cancelled, or the process ended.
ENDLESS = Sampling(temperature=0.0, max_new_tokens=30_000)
BOUND_S = 30.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return make_checkpoint(folder, context=32_768, endless=True)


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """A folder with a short path, whose processes end with it."""
    folder = Path(tempfile.mkdtemp(prefix="kllm-")) / "run"
    try:
        yield folder
        if folder.exists():
            stop_all(folder)
    finally:
        shutil.rmtree(folder.parent)


@pytest.fixture(scope="module")
def shared_runtime() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared(checkpoint: Path, shared_runtime: Path) -> LocalEngine:
    """A loaded engine for tests that leave it as it was."""
    engine = LocalEngine(str(checkpoint), runtime_dir=shared_runtime)
    engine.load()
    return engine


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime folder of one test's own, for tests that end processes."""
    with runtime_folder() as folder:
        yield folder


@pytest.fixture
def own(checkpoint: Path, runtime: Path) -> LocalEngine:
    return LocalEngine(str(checkpoint), runtime_dir=runtime)


def text_of(engine: LocalEngine, sampling: Sampling, prompt: str = PROMPT) -> str:
    return "".join(engine.generate(prompt, sampling))


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture(scope="module")
def bare(checkpoint: Path) -> Callable[[list[int], int], list[int]]:
    """``model.generate`` on token ids, in the test's own process."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)

    def generate(ids: list[int], count: int) -> list[int]:
        row = torch.tensor([ids])
        # Without a mask, generate() takes every token 0 of the prompt for padding.
        mask = torch.ones_like(row)
        answer = model.generate(
            row, attention_mask=mask, do_sample=False, max_new_tokens=count, pad_token_id=0
        )
        return answer[0, len(ids) :].tolist()

    return generate


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint)


# --- generating ------------------------------------------------------------------------------


def test_the_stream_is_what_generate_writes_after_exactly_one_bos(
    shared: LocalEngine, bare: Any, tokenizer: Any
) -> None:
    ids = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    expected = bare([tokenizer.bos_token_id, *ids], 24)
    written = tokenizer.decode(
        expected, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    completion = shared.generate(PROMPT, SHORT)
    assert "".join(completion) == written
    assert completion.tokens == len(expected)
    assert completion.finish in ("length", "stop")
    # Two, or none, give another answer: the test could tell.
    for wrong in ([tokenizer.bos_token_id] * 2, []):
        assert bare([*wrong, *ids], 24) != expected
    assert text_of(shared, SHORT, "<|begin_of_text|>" + PROMPT) == written


def test_text_arrives_while_it_is_generated(shared: LocalEngine) -> None:
    completion = shared.generate(PROMPT, ENDLESS)
    try:
        assert next(iter(completion))
        assert completion.finish is None
        assert 0 < completion.tokens < 1000
    finally:
        completion.close()


def test_a_seed_makes_sampling_repeatable(shared: LocalEngine) -> None:
    def sampled(seed: int) -> str:
        return text_of(shared, Sampling(temperature=1.0, top_p=0.97, seed=seed, max_new_tokens=40))

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(4)}) == 4


def test_without_a_seed_replies_differ(shared: LocalEngine) -> None:
    free = Sampling(temperature=1.0, max_new_tokens=40)
    assert len({text_of(shared, free) for _ in range(3)}) == 3


def test_many_streams_run_side_by_side_and_each_is_its_own(shared: LocalEngine) -> None:
    samplings = [Sampling(temperature=1.0, seed=seed, max_new_tokens=40) for seed in range(8)]
    alone = [text_of(shared, sampling) for sampling in samplings]
    completions = [shared.generate(PROMPT, sampling) for sampling in samplings]
    other = shared.generate("import triton", SHORT)
    firsts = [next(completion) for completion in completions]
    together = [
        first + "".join(completion) for first, completion in zip(firsts, completions, strict=True)
    ]
    assert together == alone
    assert "".join(other) == text_of(shared, SHORT, "import triton")


def test_a_second_prompt_does_not_wait_for_the_first(shared: LocalEngine) -> None:
    long = shared.generate(PROMPT, ENDLESS)
    try:
        next(long)
        assert text_of(shared, SHORT, "import triton")
        next(long)
        assert long.finish is None
    finally:
        long.close()


def test_closing_cancels_within_a_fraction_of_what_was_left(shared: LocalEngine) -> None:
    completion = shared.generate(PROMPT, ENDLESS)
    started = time.monotonic()
    while completion.tokens < 100:
        next(completion)
    per_token_s = (time.monotonic() - started) / completion.tokens
    closed = time.monotonic()
    completion.close()
    wait_until(lambda: shared.status()["streams"] == 0)
    took_s = time.monotonic() - closed
    assert took_s < 0.2 * per_token_s * ENDLESS.max_new_tokens
    assert completion.finish == "cancelled"
    assert list(completion) == []
    completion.close()


def test_a_notebook_that_dies_cancels_its_stream(
    shared: LocalEngine, checkpoint: Path, shared_runtime: Path
) -> None:
    endless = client(checkpoint, shared_runtime, DYING_CLIENT)
    assert endless.stdout is not None
    assert endless.stdout.readline().strip() == "streaming"
    assert shared.status()["streams"] == 1
    endless.kill()
    endless.communicate()
    wait_until(lambda: shared.status()["streams"] == 0)


def test_closing_from_another_thread_ends_an_iteration_that_waits(shared: LocalEngine) -> None:
    pid = shared.status()["pid"]
    completion = shared.generate(PROMPT, ENDLESS)
    next(completion)
    os.kill(pid, signal.SIGSTOP)  # From here on no text comes.
    try:
        closer = threading.Timer(0.3, completion.close)
        closer.start()
        for _ in completion:
            pass
        closer.join()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert completion.finish == "cancelled"
    assert text_of(shared, SHORT)


def test_a_process_that_falls_silent_is_not_waited_for_for_ever(
    shared: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernelllm_jupyter.engines import local

    pid = shared.status()["pid"]
    completion = shared.generate(PROMPT, ENDLESS)
    next(completion)
    monkeypatch.setattr(local, "SILENT_AT_MOST_S", 1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EngineDied, match="sign of life"):
            list(completion)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert completion.finish == "failed"
    monkeypatch.undo()
    assert text_of(shared, SHORT)


def test_an_interrupt_gets_through_at_once_and_leaves_the_engine_usable(
    shared: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernelllm_jupyter.engines import local

    monkeypatch.setattr(local, "SLICE_S", 50.0)
    pid = shared.status()["pid"]
    completion = shared.generate(PROMPT, ENDLESS)
    next(completion)
    os.kill(pid, signal.SIGSTOP)
    interrupted = 0.0

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = time.monotonic()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    timer = threading.Timer(0.2, interrupt)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            list(completion)
        waited_s = time.monotonic() - interrupted
    finally:
        timer.join()
        os.kill(pid, signal.SIGCONT)
        completion.close()
    assert waited_s < 25.0, "it waited for the end of a slice"
    assert text_of(shared, SHORT)
    wait_until(lambda: shared.status()["streams"] == 0)


def test_a_prompt_longer_than_the_window_is_refused(shared: LocalEngine) -> None:
    completion = shared.generate("x = 1\n" * 33_000, SHORT)
    with pytest.raises(EngineError, match="sees at most 32768"):
        list(completion)
    assert completion.finish == "failed"
    assert text_of(shared, SHORT)


def test_what_generate_raises_reaches_every_stream(tmp_path: Path, runtime: Path) -> None:
    """A tokenizer with a token that the model has no row for: the forward pass itself fails."""
    folder = make_checkpoint(tmp_path / "checkpoint")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["BEYOND"])
    tokenizer.save_pretrained(folder)
    engine = LocalEngine(str(folder), runtime_dir=runtime)
    engine.load()
    completions = [engine.generate("x = BEYOND", SHORT) for _ in range(3)]
    for completion in completions:
        with pytest.raises(EngineError, match="failed while it generated.*index"):
            list(completion)
        assert completion.finish == "failed"
    assert text_of(engine, SHORT)


def test_kernelllms_profile_end_to_end(
    checkpoint: Path, shared: LocalEngine, bare: Any, tokenizer: Any, small_module: str
) -> None:
    """From a cell's module to a candidate, by the template that the checkpoint carries."""
    from kernelllm_jupyter.problem import parse_problem
    from kernelllm_jupyter.prompts import profile_for
    from kernelllm_jupyter.translate import Generated, translate

    template = (
        '"""Written by its makers."""\nPROMPT_TEMPLATE = """\n<|begin_of_text|>Rewrite\n{}!"""\n'
    )
    (checkpoint / "kernelllm.py").write_text(template)
    profile = profile_for(str(checkpoint))
    problem = parse_problem(small_module)
    limit = Sampling(max_new_tokens=30)
    events = list(translate(problem, shared, profile, sampling=limit))
    (candidate,) = (event.candidate for event in events if isinstance(event, Generated))
    prompt = f"Rewrite\n{problem.source.strip()}!"
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    expected = bare([tokenizer.bos_token_id, *ids], 30)
    assert candidate.text == tokenizer.decode(
        expected, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    assert candidate.tokens == 30
    assert candidate.finish == "length"
    assert candidate.model == str(checkpoint)
    assert candidate.tokens_per_second


# --- the process -----------------------------------------------------------------------------


def test_loading_reports_its_steps_and_a_second_time_only_that_it_is_ready(
    own: LocalEngine,
) -> None:
    steps: list[LoadProgress] = []
    own.load(steps.append)
    stages = [step.stage for step in steps]
    assert stages[0] == "starting"
    assert "load" in stages
    assert stages[-1] == "ready"
    steps.clear()
    own.load(steps.append)
    assert [step.stage for step in steps] == ["ready"]


def test_status_says_what_is_loaded_and_unload_ends_it(own: LocalEngine) -> None:
    assert own.status()["state"] == "not running"
    own.load()
    status = own.status()
    assert (status["state"], status["device"], status["dtype"]) == ("ready", "cpu", "float32")
    assert status["memory_bytes"] > 0
    assert alive(status["pid"])
    own.unload()
    assert not alive(status["pid"])
    assert own.status()["state"] == "not running"
    own.unload()


def test_generating_without_loading_starts_the_process(own: LocalEngine) -> None:
    assert text_of(own, SHORT)


def test_a_process_killed_mid_stream_is_an_error_that_says_so(
    own: LocalEngine, runtime: Path
) -> None:
    own.load()
    pid = own.status()["pid"]
    completion = own.generate(PROMPT, ENDLESS)
    kept = [next(completion)]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="SIGKILL") as caught:
        kept.extend(completion)
    assert kept[0]
    assert completion.finish == "failed"
    assert "again" in str(caught.value), "the message says what to do"
    # Started anew by the next call, over the socket that the dead one left behind.
    own.load()
    assert own.status()["pid"] != pid
    assert text_of(own, SHORT)


def test_what_the_process_printed_is_in_the_message_of_its_death(
    own: LocalEngine, runtime: Path
) -> None:
    own.load()
    completion = own.generate(PROMPT, ENDLESS)
    next(completion)
    (log,) = runtime.glob("*.log")
    with open(log, "a") as file:
        file.write("terminate called after throwing\n")
    os.kill(own.status()["pid"], signal.SIGABRT)
    with pytest.raises(EngineDied, match="(?s)SIGABRT.*terminate called after throwing"):
        list(completion)


def test_a_process_that_cannot_start_is_an_error_with_its_last_words(
    own: LocalEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.exit('no interpreter today')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineDied, match="no interpreter today"):
        own.load()


def test_an_unload_elsewhere_is_told_to_who_still_listens(own: LocalEngine, runtime: Path) -> None:
    own.load()
    completion = own.generate(PROMPT, ENDLESS)
    next(completion)
    stop_all(runtime)
    with pytest.raises(EngineDied, match="stopped while it was in use"):
        list(completion)
    assert running(runtime) == []


def test_an_unused_process_leaves_by_itself(checkpoint: Path, runtime: Path) -> None:
    engine = LocalEngine(str(checkpoint), runtime_dir=runtime, idle_s=0.3)
    engine.load()
    # It may have left already, where this machine is busy.
    pid = engine.status().get("pid")
    wait_until(lambda: running(runtime) == [])
    assert pid is None or not alive(pid)
    assert not list(runtime.glob("*.sock"))
    assert text_of(engine, SHORT)


def test_a_process_in_use_is_not_idle(checkpoint: Path, runtime: Path) -> None:
    engine = LocalEngine(str(checkpoint), runtime_dir=runtime, idle_s=0.3)
    completion = engine.generate(PROMPT, ENDLESS)
    next(completion)
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        next(completion)
    completion.close()


def test_a_process_whose_folder_is_gone_leaves(own: LocalEngine, runtime: Path) -> None:
    own.load()
    pid = own.status()["pid"]
    shutil.rmtree(runtime)
    wait_until(lambda: not alive(pid))


CLIENT = """
import sys
from pathlib import Path
from kernelllm_jupyter.engines.local import LocalEngine
engine = LocalEngine(sys.argv[1], runtime_dir=Path(sys.argv[2]))
engine.load()
print(engine.status()["pid"])
"""


DYING_CLIENT = """
import sys
from pathlib import Path
from kernelllm_jupyter.engines.local import LocalEngine
from kernelllm_jupyter.values import Sampling
engine = LocalEngine(sys.argv[1], runtime_dir=Path(sys.argv[2]))
completion = engine.generate("class A", Sampling(temperature=0.0, max_new_tokens=30_000))
next(completion)
print("streaming", flush=True)
for _ in completion:
    pass
"""


def client(checkpoint: Path, runtime: Path, code: str = CLIENT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(checkpoint), str(runtime)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )


def test_notebooks_that_start_at_once_share_one_process_which_outlives_them(
    checkpoint: Path, runtime: Path
) -> None:
    clients = [client(checkpoint, runtime) for _ in range(3)]
    pids = {int(one.communicate(timeout=BOUND_S * 4)[0]) for one in clients}
    assert len(pids) == 1
    (pid,) = pids
    assert alive(pid)
    assert os.getsid(pid) == pid, "a session of its own, out of reach of the notebook's signals"
    engine = LocalEngine(str(checkpoint), runtime_dir=runtime)
    assert text_of(engine, SHORT)
    assert engine.status()["pid"] == pid


def test_other_weights_in_the_folder_are_another_model(tmp_path: Path, runtime: Path) -> None:
    engine = LocalEngine(str(make_checkpoint(tmp_path / "checkpoint")), runtime_dir=runtime)
    before = text_of(engine, SHORT)
    make_checkpoint(tmp_path / "checkpoint", seed=1)
    assert text_of(engine, SHORT) != before


def test_a_notebooks_folder_does_not_shadow_modules_of_the_process(
    own: LocalEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "random.py").write_text("raise ImportError('the user has a random.py')\n")
    monkeypatch.chdir(tmp_path)
    own.load()


def test_an_older_process_makes_way_and_a_newer_one_is_left_alone(
    own: LocalEngine, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernelllm_jupyter.engines import lifecycle, wire

    own.load()
    old = own.status()["pid"]
    monkeypatch.setattr(lifecycle, "PROTOCOL", wire.PROTOCOL - 1)
    with pytest.raises(EngineError, match="newer"):
        own.load()
    assert alive(old)
    monkeypatch.setattr(lifecycle, "PROTOCOL", wire.PROTOCOL + 1)
    (path,) = runtime.glob("*.sock")
    assert lifecycle.reach(ServerFiles(runtime, path.stem)) is None
    wait_until(lambda: not alive(old))


def test_a_process_that_does_not_react_is_killed_by_stop(own: LocalEngine, runtime: Path) -> None:
    own.load()
    pid = own.status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert [one["state"] for one in running(runtime)] == ["not answering"]
    stop_all(runtime)
    assert not alive(pid)


def test_standard_input_is_detached_and_the_log_private(
    shared: LocalEngine, shared_runtime: Path
) -> None:
    pid = shared.status()["pid"]
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    (log,) = shared_runtime.glob("*.log")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


# --- who may speak to it -----------------------------------------------------------------------


def test_only_the_owner_can_open_the_socket(shared: LocalEngine, shared_runtime: Path) -> None:
    assert stat.S_IMODE(shared_runtime.stat().st_mode) == 0o700
    (path,) = shared_runtime.glob("*.sock")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_folder_that_others_may_enter_is_refused(own: LocalEngine, runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    runtime.chmod(0o755)
    with pytest.raises(EngineError, match="chmod 700"):
        own.load()
    assert not list(runtime.iterdir())
    runtime.chmod(0o700)


def test_a_link_in_place_of_the_folder_is_refused(
    own: LocalEngine, runtime: Path, tmp_path: Path
) -> None:
    runtime.symlink_to(tmp_path)
    with pytest.raises(EngineError, match="not a folder of yours"):
        own.load()
    runtime.unlink()


def test_a_folder_that_others_may_replace_is_refused(own: LocalEngine, runtime: Path) -> None:
    runtime.parent.chmod(0o777)
    try:
        with pytest.raises(EngineError, match="replace"):
            own.load()
    finally:
        runtime.parent.chmod(0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of another user's")
def test_another_users_folder_is_refused(own: LocalEngine, runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    os.chown(runtime, 65534, 65534)
    try:
        with pytest.raises(EngineError, match="not a folder of yours"):
            own.load()
    finally:
        os.chown(runtime, 0, 0)


def test_nonsense_on_the_socket_does_not_disturb_the_others(
    shared: LocalEngine, shared_runtime: Path
) -> None:
    (path,) = shared_runtime.glob("*.sock")
    for nonsense in (b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"op": "dance"}\n'):
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(path))
            visitor.sendall(nonsense)
    assert text_of(shared, SHORT)


def test_a_client_imports_nothing_heavy() -> None:
    code = (
        "import sys, kernelllm_jupyter.engines.local, kernelllm_jupyter.engines.checkpoint\n"
        "print([n for n in ('torch', 'transformers', 'huggingface_hub') if n in sys.modules])"
    )
    root = str(Path(__file__).resolve().parents[2])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert ran.stdout.strip() == "[]"


# --- finding engines ---------------------------------------------------------------------------


def test_an_engine_is_made_once_and_starts_nothing(checkpoint: Path, runtime: Path) -> None:
    engine = get_engine(str(checkpoint), runtime_dir=runtime)
    assert engine is get_engine(str(checkpoint), runtime_dir=runtime)
    assert engine.model == str(checkpoint)
    assert not runtime.exists()
    assert running(runtime) == []
