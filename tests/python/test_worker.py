"""Whatever a candidate or a reference does to its process, the caller gets a clear answer.

Real worker processes throughout; every test ends with the next check working.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, HEAD, TRITON

from kernelllm_jupyter.errors import CheckCancelled, ProblemError, WorkerError
from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.worker import Worker, shutdown, worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
RIGHT = TRITON + ADD_RELU_RIGHT
FIRST_LINE = "        out = torch.empty_like(x)\n"


def doing(statements: str) -> str:
    """A candidate that runs ``statements`` at the beginning of ``forward``."""
    body = textwrap.indent(textwrap.dedent(statements).strip("\n"), " " * 8)
    return TRITON + ADD_RELU_RIGHT.replace(FIRST_LINE, body + "\n" + FIRST_LINE)


def line_of(source: str, text: str) -> int:
    return 1 + next(i for i, line in enumerate(source.splitlines()) if text in line)


def run(source: str, **options: object) -> Verdict:
    return check(PROBLEM, source, device="cpu", **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _the_next_check_works() -> Iterator[None]:
    yield
    assert run(RIGHT).verdict == "correct"


def processes_with(marker: str) -> list[int]:
    """Processes whose command line contains ``marker``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


# --- candidates that misbehave -----------------------------------------------------------------


def test_an_endless_loop_ends_within_the_timeout_and_names_the_line() -> None:
    source = doing("while True:\n    pass")
    assert run(RIGHT).verdict == "correct"  # The server's start is not the check's time.
    verdict = run(source, timeout_s=3.0)
    assert verdict.verdict == "timeout"
    assert verdict.elapsed_ms is not None
    assert verdict.elapsed_ms < 4 * 3_000  # Generous: a busy machine is no endless loop.
    line = verdict.reasons[0].line
    assert line is not None
    assert line_of(source, "while True:") <= line <= line_of(source, "while True:") + 1


def test_an_endless_loop_inside_a_triton_kernel_is_a_timeout() -> None:
    source = RIGHT.replace(
        "    mask = offsets < n",
        "    mask = offsets < n\n    i = 0\n    while i < 1:\n        i = i * 1",
    )
    assert run(source, timeout_s=2.0).verdict == "timeout"


def test_an_endless_loop_at_import_is_a_timeout() -> None:
    assert run(RIGHT + "\nwhile True:\n    pass\n", timeout_s=2.0).verdict == "timeout"


@pytest.mark.parametrize(
    ("statement", "verdict", "word"),
    [
        ("import sys; sys.exit(3)", "runtime_error", "ended its own process"),
        ("import os; os._exit(0)", "crashed", "exit status 0"),
        ("import ctypes; ctypes.string_at(8)", "crashed", "SIGSEGV"),
        ("import os; os.abort()", "crashed", "SIGABRT"),
        ("raise ValueError('boom')", "runtime_error", "ValueError: boom"),
        ("input('name? ')", "runtime_error", "EOFError"),
        ("torch.empty(1 << 40)", "out_of_memory", "memory"),
        ("keep = []\nwhile True: keep.append(bytearray(1 << 24))", "out_of_memory", "Memory"),
        ("keep = []\nwhile True: keep.append(torch.ones(1 << 22))", "out_of_memory", "memory"),
        ("import os; os.closerange(0, 100)", "crashed", "process"),
    ],
)
def test_a_candidate_that_ends_itself_gets_a_clear_verdict(
    statement: str, verdict: str, word: str
) -> None:
    found = run(doing(statement), timeout_s=20.0, memory_mb=600)
    assert found.verdict == verdict, found
    assert word in found.reasons[0].message


@pytest.mark.parametrize(
    "statement", ["raise ValueError('boom')", "import ctypes; ctypes.string_at(8)"]
)
def test_a_failure_points_to_the_candidates_own_line(statement: str) -> None:
    source = doing(statement)
    found = run(source)
    assert found.reasons[0].line == line_of(source, statement)
    assert "kernelllm_jupyter" not in found.reasons[0].message


def test_a_failure_inside_a_triton_kernel_points_to_its_line() -> None:
    source = RIGHT.replace("tl.maximum(x + y, 0.0)", "tl.maximum(x + unknown, 0.0)")
    found = run(source)
    assert found.verdict == "runtime_error"
    assert "unknown" in found.reasons[0].message
    assert found.reasons[0].line == line_of(source, "unknown")


def test_a_flood_of_output_is_bounded_and_does_not_stall() -> None:
    found = run(doing("for i in range(20000): print('x' * 200)"))
    assert found.verdict == "correct"
    assert 1_000 < len(found.output) < 80_000


def test_what_a_candidate_prints_is_in_the_verdict() -> None:
    assert "printed by the candidate" in run(doing("print('printed by the candidate')")).output


def test_children_that_left_the_session_are_ended() -> None:
    found = run(
        doing(
            """
            import os, subprocess
            subprocess.Popen(["sleep", "98761"])
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.setsid()
                    os.execvp("sleep", ["sleep", "98762"])
                os._exit(0)
            """
        )
    )
    assert [reason.code for reason in found.reasons] == ["background_work"]
    assert processes_with("98761") == []
    assert processes_with("98762") == []


def test_a_fork_bomb_is_stopped() -> None:
    found = run(doing("import os\nwhile True: os.fork()"), timeout_s=30.0)
    assert found.verdict in ("crashed", "out_of_memory", "runtime_error")


def test_children_that_eat_memory_together_are_stopped() -> None:
    found = run(
        doing(
            """
            import os, time
            for i in range(6):
                if os.fork() == 0:
                    keep = b"x" * (300 << 20)
                    time.sleep(60)
            time.sleep(60)
            """
        ),
        timeout_s=40.0,
        memory_mb=400,
    )
    assert found.verdict == "out_of_memory"


def test_secrets_and_home_are_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown()
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_user")
    found = run(
        doing(
            "import os\nprint(dict(os.environ), os.listdir(os.path.expanduser('~')), os.getcwd())"
        )
    )
    assert found.verdict == "correct"
    assert "hf_secret_of_the_user" not in found.output
    assert str(Path.cwd()) not in found.output.rpartition("[")[2]
    assert "[]" in found.output


def test_nothing_is_left_in_the_temporary_folder() -> None:
    source = doing("open('left-behind-98763.txt', 'w').write('x'); import os; print(os.getcwd())")
    found = run(source)
    assert found.verdict == "correct"
    assert not Path(found.output.splitlines()[0]).exists()


@pytest.mark.parametrize(
    ("layer", "statement"),
    [
        ("no network", "import socket; socket.create_connection(('127.0.0.1', 9), 2)"),
        ("no writing outside its folder", "open('/tmp/kernelllm-escape', 'w')"),
        ("no signals to other processes", "import os; os.kill(1, 0)"),
    ],
)
def test_a_layer_that_is_said_to_be_active_holds(layer: str, statement: str) -> None:
    if layer not in run(RIGHT).sandbox:
        pytest.skip(f"this machine has no layer {layer!r}")
    found = run(doing(statement))
    assert found.verdict == "runtime_error"
    assert "OSError" in found.reasons[0].message or "PermissionError" in found.reasons[0].message
    assert not Path("/tmp/kernelllm-escape").exists()


# --- references that fail ----------------------------------------------------------------------


def reference(
    forward: str = "torch.relu(x + y)", inputs: str = "[torch.ones(4), torch.ones(4)]"
) -> str:
    return HEAD + textwrap.dedent(
        f"""
        class Model(nn.Module):
            def forward(self, x, y):
                {forward if ";" in forward or forward.startswith("while") else "return " + forward}

        def get_inputs():
            return {inputs}
        """
    )


@pytest.mark.parametrize(
    ("source", "word", "text"),
    [
        (reference(inputs="[torch.ones(4), missing]"), "failed in get_inputs()", "missing"),
        (reference(forward="x @ y.reshape(3, 7)"), "forward()", "reshape"),
        (reference(inputs="torch.ones(4).numpy()"), "get_inputs() returned", None),
        (reference("x + 1", inputs="[torch.ones(4), object()]"), "cannot be handed", None),
        (reference(forward="x + torch.rand(4)"), "random", None),
        (reference() + "\nraise RuntimeError('at import')\n", "cannot be read", "at import"),
        (reference(forward="import os; os._exit(3)"), "exit status 3", None),
        (reference(forward="import ctypes; ctypes.string_at(8)"), "SIGSEGV", "string_at"),
        (HEAD + "class Model(nn.Linear): pass\n", "built", None),
    ],
)
def test_a_reference_that_fails_is_the_users_problem(
    source: str, word: str, text: str | None
) -> None:
    with pytest.raises(ProblemError) as caught:
        check(Problem(source, "Model", has_init_inputs=False), RIGHT, device="cpu")
    assert word in str(caught.value)
    if text is not None:
        assert caught.value.line == line_of(source, text)


def test_a_reference_that_hangs_is_the_users_problem() -> None:
    source = reference(forward="while True: pass")
    with pytest.raises(ProblemError, match="did not finish within 2 s") as caught:
        check(Problem(source, "Model", has_init_inputs=False), RIGHT, device="cpu", timeout_s=2.0)
    assert caught.value.line == line_of(source, "while True")


def test_lines_of_a_prelude_do_not_count() -> None:
    source = "import torch\nimport torch.nn as nn\n" + reference(inputs="[missing]")
    problem = Problem(source, "Model", has_init_inputs=False, first_line=3)
    with pytest.raises(ProblemError) as caught:
        check(problem, RIGHT, device="cpu")
    assert caught.value.line == line_of(source, "missing") - 2


# --- callers that go away ----------------------------------------------------------------------


def test_cancelling_ends_the_check_and_all_it_started() -> None:
    cancel = threading.Event()
    source = doing("import subprocess, time\nsubprocess.Popen(['sleep', '98764'])\ntime.sleep(60)")

    def when_running(message: str) -> None:
        if message.startswith("Checking 1 of"):
            threading.Thread(target=_cancel_when_there, args=("98764", cancel)).start()

    with pytest.raises(CheckCancelled):
        run(source, cancel=cancel, progress=when_running)
    assert processes_with("98764") == []


def _cancel_when_there(marker: str, cancel: threading.Event) -> None:
    _wait_for(lambda: bool(processes_with(marker)))
    cancel.set()


def _wait_for(condition: object, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_an_interrupt_ends_the_check_at_once_and_is_raised_again() -> None:
    run(RIGHT)
    source = doing("import subprocess, time\nsubprocess.Popen(['sleep', '98765'])\ntime.sleep(60)")

    def interrupt() -> None:
        _wait_for(lambda: bool(processes_with("98765")))
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        run(source)
    interrupting.join()
    assert processes_with("98765") == []


def test_several_checks_run_at_once() -> None:
    wrong = RIGHT.replace("tl.maximum(x + y, 0.0)", "x + y")
    with ThreadPoolExecutor(4) as pool:
        verdicts = [found.verdict for found in pool.map(run, [RIGHT, wrong] * 4)]
    assert verdicts == ["correct", "incorrect"] * 4


def test_a_killed_server_is_an_error_and_is_started_anew() -> None:
    run(RIGHT)
    server = worker("cpu").server
    assert server is not None

    def kill() -> None:
        _wait_for(lambda: bool(processes_with("98766")))
        server.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(WorkerError, match="ended unexpectedly"):
        run(doing("import subprocess, time\nsubprocess.Popen(['sleep', '98766'])\ntime.sleep(60)"))
    killing.join()
    for pid in processes_with("98766"):
        os.kill(pid, signal.SIGKILL)


def test_the_worker_ends_with_its_parent_even_when_that_is_killed() -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.path[:0] = sys.argv[1:]
        from test_worker import RIGHT, run
        from kernelllm_jupyter.verify.worker import worker
        assert run(RIGHT).correct
        print(worker("cpu").server.pid, flush=True)
        sys.stdin.read()
        """
    )
    import kernelllm_jupyter

    paths = [str(Path(kernelllm_jupyter.__file__).parents[1]), str(Path(__file__).parent)]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    assert Path(f"/proc/{server}").exists()
    parent.kill()
    parent.wait()
    _wait_for(lambda: not _running(server))


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_shutdown_ends_the_server() -> None:
    run(RIGHT)
    server = worker("cpu").server
    assert server is not None
    shutdown()
    assert server.poll() is not None


def test_shutdown_does_not_wait_for_a_server_that_is_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_ready = tmp_path / "python"
    never_ready.write_text("#!/bin/sh\nexec sleep 600\n")
    never_ready.chmod(0o755)
    own = Worker("cpu")
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as threads:
        patch.setattr(sys, "executable", str(never_ready))
        starting = threads.submit(own.start)
        while own.control is None:
            time.sleep(0.01)
        server = own.server
        own.stop()
        with pytest.raises(WorkerError, match="ended while it started"):
            starting.result(timeout=60)
    assert server is not None
    assert server.wait(60) == -signal.SIGKILL


def test_the_callers_process_imports_no_torch() -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.path[:0] = sys.argv[1:]
        from test_worker import RIGHT, run
        assert run(RIGHT).correct
        heavy = {"torch", "triton", "transformers", "numpy"} & set(sys.modules)
        assert not heavy, heavy
        """
    )
    import kernelllm_jupyter

    paths = [str(Path(kernelllm_jupyter.__file__).parents[1]), str(Path(__file__).parent)]
    tried = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, timeout=120
    )
    assert tried.returncode == 0, tried.stderr


def test_spawned_children_as_on_a_gpu_give_the_same_verdicts() -> None:
    wrong = RIGHT.replace("tl.maximum(x + y, 0.0)", "x + y")
    try:
        assert check(PROBLEM, RIGHT, device="spawned-cpu").verdict == "correct"
        assert check(PROBLEM, wrong, device="spawned-cpu").verdict == "incorrect"
        hung = check(PROBLEM, doing("while True:\n    pass"), device="spawned-cpu", timeout_s=2.0)
        assert hung.verdict == "timeout"
    finally:
        worker("spawned-cpu").stop()


def test_a_fault_of_the_checker_itself_is_blamed_on_nobody_else() -> None:
    from kernelllm_jupyter.verify.check import make_request

    request, blobs = make_request("check", Problem("x = 1", "Model"), "", 20.0)
    del request["class_name"]
    with pytest.raises(WorkerError, match="The checker itself failed(.|\n)*class_name"):
        worker("cpu").ask(request, blobs, None, None)
