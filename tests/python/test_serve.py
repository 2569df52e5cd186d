"""``kernelllm serve`` with a real ``transformers serve`` behind it, and a client of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine_fixtures import make_checkpoint

from kernelllm_jupyter.engines.remote import RemoteEngine
from kernelllm_jupyter.engines.serving import Serving, serve
from kernelllm_jupyter.errors import EngineError, UsageError
from kernelllm_jupyter.values import Sampling

BOUND_S = 90.0
GREEDY = Sampling(temperature=0.0, max_new_tokens=24)
#: Takes minutes, so that no test sees the end of it.
ENDLESS = Sampling(temperature=0.0, max_new_tokens=30_000)


@pytest.fixture(autouse=True, scope="module")
def no_keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KERNELLLM_API_KEY", "OPENAI_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return make_checkpoint(folder, context=32_768, endless=True)


@pytest.fixture(scope="module")
def served(checkpoint: Path) -> Iterator[Serving]:
    with serve(str(checkpoint), port=0, progress=lambda _: None) as serving:
        yield serving


@pytest.fixture(scope="module")
def engine(served: Serving) -> RemoteEngine:
    engine = RemoteEngine(served.url)
    engine.load()
    return engine


@contextmanager
def kernelllm_serve(
    *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the first line that it prints."""
    command = [sys.executable, "-m", "kernelllm_jupyter", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(BOUND_S)
        process.stdout.close()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.05)


def busy_s(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(pid: int) -> bool:
    seen_s = busy_s(pid)
    time.sleep(0.4)
    return busy_s(pid) - seen_s <= 0.05


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- a client of a real server -------------------------------------------------------------------


def test_a_reply_is_what_the_model_writes_after_exactly_one_bos(
    engine: RemoteEngine, checkpoint: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    ids = tokenizer("class ModelNew", return_tensors="pt").input_ids
    assert ids[0].tolist().count(tokenizer.bos_token_id) == 1
    expected = model.generate(ids, do_sample=False, max_new_tokens=24)[0, ids.shape[1] :]
    for prompt in ("class ModelNew", "<|begin_of_text|>class ModelNew"):
        completion = engine.generate(prompt, GREEDY)
        written = "".join(completion)
        assert written == tokenizer.decode(expected, clean_up_tokenization_spaces=False)
        assert (completion.tokens, completion.finish) == (24, "length")


def test_closing_a_reply_stops_the_servers_work(engine: RemoteEngine, served: Serving) -> None:
    before_s = busy_s(served.process.pid)
    completion = engine.generate("class A", ENDLESS)
    for _ in range(100):
        next(completion)
    closed_s = busy_s(served.process.pid)
    completion.close()
    each_s = (closed_s - before_s) / 100

    wait_until(lambda: idle(served.process.pid))
    spent_s = busy_s(served.process.pid) - closed_s
    assert spent_s < 0.1 * each_s * 30_000, "it wrote on for nobody"


def test_closing_ten_streams_stops_those_that_wait_too(
    engine: RemoteEngine, served: Serving
) -> None:
    completions = [engine.generate(f"class A{number}", ENDLESS) for number in range(10)]
    next(completions[0])  # This server takes one after the other.
    for completion in completions:
        completion.close()
    wait_until(lambda: idle(served.process.pid))
    assert "".join(engine.generate("class A", GREEDY)), "the server still serves"


def test_a_prompt_too_long_is_told_before_it_is_sent(engine: RemoteEngine) -> None:
    completion = engine.generate("class A: pass\n" * 9000, GREEDY)
    with pytest.raises(EngineError, match=r"has \d+ tokens and .* sees at most 32768"):
        list(completion)


def test_a_parameter_that_transformers_refuses_is_left_out(engine: RemoteEngine) -> None:
    sampled = Sampling(temperature=0.7, top_p=0.9, top_k=5, seed=3, max_new_tokens=8)
    completion = engine.generate("class A", sampled)
    assert "".join(completion)
    assert [note.split(",")[0] for note in completion.notes] == ["The server does not take top_k"]


# --- the command ---------------------------------------------------------------------------------


def test_the_url_that_is_printed_translates_as_the_model_here_does(
    small_module: str,
) -> None:
    from kernelllm_jupyter import KernelLLM

    with kernelllm_serve() as (process, url):
        assert url.endswith("#starter")
        [server] = children(process.pid)
        expected = KernelLLM().generate_triton(small_module)
        assert KernelLLM(url).generate_triton(small_module) == expected
        process.send_signal(signal.SIGINT)
        assert process.wait(BOUND_S) == 130
        assert not alive(server)


STAND_IN = '''\
"""Stands where vLLM's server is: answers what it was told, and ends when asked for it."""
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

told = dict(zip(sys.argv[1::2], sys.argv[2::2]))

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] != "Bearer " + os.environ.get("VLLM_API_KEY", "none"):
            self.send_error(401)
            return
        known = {"id": told["--served-model-name"], "owned_by": "vllm", "root": sys.argv[1:]}
        body = json.dumps({"data": [known]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer((told["--host"], int(told["--port"])), Handler).serve_forever()
'''


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in vLLM's place, first on the path of every process started from here."""
    folder = tmp_path / "vllm" / "entrypoints" / "openai"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent, folder.parent.parent):
        (place / "__init__.py").touch()
    (folder / "api_server.py").write_text(STAND_IN)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    return tmp_path


def test_vllm_is_used_where_it_is_installed_and_its_key_is_no_argument(stand_in: Path) -> None:
    secret = "a-key-nobody-may-see"
    options = ("--api-key", "--quantization", "4bit")
    with kernelllm_serve(*options, KERNELLLM_API_KEY=secret) as (process, url):
        [server] = children(process.pid)
        arguments = Path(f"/proc/{server}/cmdline").read_bytes().decode().split("\0")
        assert "vllm.entrypoints.openai.api_server" in arguments
        assert arguments[arguments.index("--quantization") + 1] == "bitsandbytes"
        assert secret not in arguments
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("#starter")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_server_ends_with_the_command_however_that_ends(
    stand_in: Path, number: signal.Signals
) -> None:
    with kernelllm_serve(VLLM_API_KEY="k", KERNELLLM_API_KEY="k") as (process, url):
        assert url
        [server] = children(process.pid)
        process.send_signal(number)
        process.wait(BOUND_S)
        wait_until(lambda: not alive(server))


def test_a_server_that_ends_before_it_is_ready_is_an_error(stand_in: Path) -> None:
    broken = stand_in / "vllm" / "entrypoints" / "openai" / "api_server.py"
    broken.write_text("import sys\nsys.exit('the weights are broken')\n")
    command = [sys.executable, "-m", "kernelllm_jupyter", "serve", "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "the weights are broken" in ran.stderr
    assert "vLLM ended (exit status 1) before it was ready" in ran.stderr


def test_wrong_use_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(UsageError, match="No server can listen at"),
            serve("starter", port=taken.getsockname()[1], progress=lambda _: None),
        ):
            pass
    command = [sys.executable, "-m", "kernelllm_jupyter", "serve"]
    for arguments, said in (
        (["-m", "http://127.0.0.1:1#m"], "is served already"),
        (["--api-key"], "KERNELLLM_API_KEY, which is not set"),
        (["--host", "192.0.2.1"], "No server can listen"),
    ):
        ran = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    monkeypatch.setenv("KERNELLLM_API_KEY", "k")
    ran = subprocess.run([*command, "--api-key"], capture_output=True, text=True, timeout=60)
    assert "knows no keys" in ran.stderr


def test_what_is_missing_for_a_server_is_named() -> None:
    code = textwrap.dedent(
        """
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name == "uvicorn" else found(name, *a)
        from kernelllm_jupyter.cli import main
        raise SystemExit(main(["serve", "--port", "0"]))
        """
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "needs uvicorn: pip install 'kernelllm-jupyter[serve]'" in ran.stderr
