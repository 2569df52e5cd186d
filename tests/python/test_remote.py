"""The engine for servers, against a real HTTP server that answers, or fails, as each test asks."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from model_server import (
    Answer,
    Handler,
    ModelServer,
    dropping_after,
    endless,
    event,
    never_answering,
    refusing,
    serving,
    silent_after,
    streaming,
)

from kernelllm_jupyter.engines import LoadProgress, get_engine
from kernelllm_jupyter.engines.http import Timeouts, _within
from kernelllm_jupyter.engines.openai_wire import read_piece
from kernelllm_jupyter.engines.remote import RemoteEngine
from kernelllm_jupyter.engines.retries import Retries, retry_after_s
from kernelllm_jupyter.errors import EngineError, ModelNotFound, ServerError
from kernelllm_jupyter.values import Message, Sampling

GREEDY = Sampling(temperature=0.0, max_new_tokens=64)
SAMPLED = Sampling(temperature=0.8, top_p=0.9, top_k=0, seed=7, max_new_tokens=64)
HELLO = (event("def "), event("f(): ..."), event("", "stop"), "data: [DONE]\n\n")
#: Longer than any test takes, so that a test which needs it fails by its own bound.
NEVER_S = 300.0
BOUND_S = 30.0
SECRET = "a-key-nobody-may-see"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as about:
        yield about


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KERNELLLM_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


def engine_for(server: ModelServer, model: str = "tiny", **limits: float) -> RemoteEngine:
    return RemoteEngine(
        server.name(model),
        timeouts=Timeouts(**{"first_s": NEVER_S, "silent_s": NEVER_S, **limits}),
        retries=Retries(count=2, first_wait_s=0.01, longest_wait_s=5.0),
    )


def reply(engine: RemoteEngine, sampling: Sampling = GREEDY, prompt: Any = "class A") -> str:
    return "".join(engine.generate(prompt, sampling))


def failing(engine: RemoteEngine, prompt: Any = "class A") -> tuple[str, EngineError]:
    """What had arrived, and the error that came then."""
    arrived: list[str] = []
    completion = engine.generate(prompt, GREEDY)
    with pytest.raises(EngineError) as caught:
        arrived.extend(completion)
    assert completion.finish == "failed"
    return "".join(arrived), caught.value


# --- what goes right -----------------------------------------------------------------------------


def test_a_raw_prompt_is_completed_and_messages_are_answered(server: ModelServer) -> None:
    chat = [
        {"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "Sure: "}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "code"}, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}},
    ]
    events = [f"data: {json.dumps(piece)}\n\n" for piece in chat]
    server.answers = [streaming(*HELLO)]
    engine = engine_for(server)
    assert reply(engine) == "def f(): ..."
    server.answers = [streaming(*events, "data: [DONE]\n\n")]
    turns = (Message("system", "You write Triton."), Message("user", "class A"))
    completion = engine.generate(turns, GREEDY)
    assert list(completion) == ["Sure: ", "code"]
    assert (completion.tokens, completion.finish) == (5, "stop")
    raw, chatted = server.asked
    assert raw.path == "/v1/completions"
    assert raw.body["prompt"] == "class A"
    assert chatted.path == "/v1/chat/completions"
    assert chatted.body["messages"] == [
        {"role": "system", "content": "You write Triton."},
        {"role": "user", "content": "class A"},
    ]


def test_sampling_is_sent_as_asked_and_greedy_sends_no_more_than_it_needs(
    server: ModelServer,
) -> None:
    server.answers = [streaming(*HELLO)]
    engine = engine_for(server)
    reply(engine, SAMPLED)
    reply(engine, GREEDY)
    sampled, greedy = (seen.body for seen in server.asked)
    assert {name: sampled[name] for name in ("temperature", "top_p", "seed", "max_tokens")} == {
        "temperature": 0.8,
        "top_p": 0.9,
        "seed": 7,
        "max_tokens": 64,
    }
    assert "top_k" not in sampled
    assert greedy["temperature"] == 0.0
    assert not {"top_p", "seed", "top_k"} & set(greedy)


@pytest.mark.parametrize(("kind", "off"), [("vllm", -1), ("sglang", -1), ("llamacpp", 0)])
def test_top_k_is_switched_off_on_servers_that_have_a_default(
    server: ModelServer, kind: str, off: int
) -> None:
    server.models = refusing(200, {"data": [{"id": "tiny", "owned_by": kind}]})
    server.answers = [streaming(*HELLO)]
    reply(engine_for(server), SAMPLED)
    assert server.asked[0].body["top_k"] == off


def test_a_bos_that_is_spelled_out_is_left_to_the_server(server: ModelServer) -> None:
    server.answers = [streaming(*HELLO)]
    reply(engine_for(server), prompt="<|begin_of_text|>class A: '<|begin_of_text|>'")
    assert server.asked[0].body["prompt"] == "class A: '<|begin_of_text|>'"


def test_reasoning_that_the_server_keeps_apart_is_marked(server: ModelServer) -> None:
    deltas = [{"reasoning_content": "hm"}, {"reasoning": "!"}, {"content": "code"}]
    events = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    server.answers = [streaming(*events, "data: [DONE]\n\n")]
    assert reply(engine_for(server)) == "<think>\nhm!\n</think>\ncode"


def test_a_server_that_does_not_stream_is_read_all_the_same(server: ModelServer) -> None:
    whole = {"choices": [{"text": "all", "finish_reason": "length"}]}
    server.answers = [refusing(200, {**whole, "usage": {"completion_tokens": 3}})]
    completion = engine_for(server).generate("x", GREEDY)
    assert (list(completion), completion.tokens, completion.finish) == (["all"], 3, "length")


def test_half_a_character_in_a_reply_is_shown_as_such() -> None:
    piece = read_piece(r'{"choices": [{"text": "a\ud83d \ud83d\ude00 b\ude00"}]}')
    assert piece.text == "a\N{REPLACEMENT CHARACTER} \N{GRINNING FACE} b\N{REPLACEMENT CHARACTER}"


def test_ten_streams_run_side_by_side(server: ModelServer) -> None:
    together = threading.Barrier(10)

    def answer(handler: Handler) -> None:
        together.wait(BOUND_S)  # Passed only when all ten requests are there.
        streaming(*HELLO)(handler)

    server.answers = [answer]
    engine = engine_for(server)
    completions = [engine.generate("x", GREEDY) for _ in range(10)]
    assert ["".join(completion) for completion in completions] == ["def f(): ..."] * 10


def test_loading_says_whom_it_asks_and_what_the_server_has(server: ModelServer) -> None:
    steps: list[LoadProgress] = []
    engine = engine_for(server)
    engine.load(steps.append)
    engine.load(steps.append)
    assert [step.stage for step in steps] == ["starting", "ready", "ready"]
    assert server.url in steps[0].message
    assert engine.status()["state"] == "ready"
    with pytest.raises(ModelNotFound, match=r"has no model 'other'. It has tiny"):
        engine_for(server, "other").load()


def test_making_an_engine_sends_nothing(server: ModelServer) -> None:
    assert get_engine(server.name(), idle_s=3.0).model == server.name()
    assert server.seen == []


# --- keys ----------------------------------------------------------------------------------------


def test_the_key_is_sent_and_never_shown(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KERNELLLM_API_KEY", SECRET)
    echo = {"error": {"message": f"Incorrect API key provided: {SECRET}. Bearer {SECRET}"}}
    server.answers = [refusing(401, echo)]
    engine = engine_for(server)
    _, error = failing(engine)
    assert server.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    for shown in (str(error), repr(error), caplog.text, repr(vars(engine)), str(engine.status())):
        assert SECRET not in shown
    assert "refused the key from KERNELLLM_API_KEY (401)" in str(error)


def test_a_401_says_where_to_put_a_key(server: ModelServer) -> None:
    server.models = refusing(401, {"error": "no key"})
    with pytest.raises(ServerError, match="without a key.*KERNELLLM_API_KEY.*keyring set") as got:
        engine_for(server).load()
    assert got.value.status == 401
    assert len(server.seen) == 1, "a key is not right at the second try"


def test_a_redirect_is_not_followed_and_takes_no_source_along(server: ModelServer) -> None:
    with serving() as elsewhere:
        elsewhere.answers = [streaming(*HELLO)]
        target = f"{elsewhere.url}/v1/completions"
        server.answers = [refusing(307, {}, Location=target)]
        _, error = failing(engine_for(server))
        assert "redirects to" in str(error)
        assert target in str(error)
        server.models = refusing(301, {}, Location=f"{elsewhere.url}/v1/models")
        with pytest.raises(ServerError, match="redirects to"):
            engine_for(server).load()
        assert elsewhere.seen == []


def test_no_proxy_stands_between_this_machine_and_itself(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.answers = [streaming(*HELLO)]
    assert reply(engine_for(server)) == "def f(): ..."


# --- faults before the reply ---------------------------------------------------------------------


def test_a_server_that_is_not_there_is_an_error_in_words() -> None:
    with socket.socket() as taken:  # Bound and not listening: nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServerError, match=f"{url}/v1 cannot be reached.*kernelllm serve"):
            RemoteEngine(f"{url}#m").load()


def test_a_server_that_never_answers_is_given_up(server: ModelServer) -> None:
    server.answers = [never_answering]
    _, error = failing(engine_for(server, first_s=0.3))
    assert "has sent nothing for" in str(error)
    assert server.left.wait(BOUND_S), "the connection was left open"
    assert len(server.asked) == 1


def test_a_server_that_is_slow_but_answers_is_waited_for(server: ModelServer) -> None:
    go_on = threading.Event()

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        handler.send(": queued\n\n")
        go_on.wait(BOUND_S)
        for piece in HELLO:
            handler.send(piece)

    server.answers = [answer]
    completion = engine_for(server).generate("x", GREEDY)
    threading.Timer(0.5, go_on.set).start()
    assert "".join(completion) == "def f(): ..."


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_and_only_so_often(server: ModelServer, status: int) -> None:
    server.answers = [refusing(status, {"error": "busy"})] * 2 + [streaming(*HELLO)]
    assert reply(engine_for(server)) == "def f(): ..."
    assert len(server.asked) == 3
    server.answers = [refusing(status, {"error": {"message": "busy"}})]
    _, error = failing(engine_for(server))
    assert isinstance(error, ServerError)
    assert error.status == status
    assert "busy" in str(error)
    assert len(server.asked) == 6, "two tries after the first"


def test_retry_after_is_waited_for_within_bounds(server: ModelServer) -> None:
    asked_at: list[float] = []

    def limited(handler: Handler) -> None:
        asked_at.append(time.monotonic())
        handler.send_json(429, {"error": "slow down"}, Retry_After="1")

    def served(handler: Handler) -> None:
        asked_at.append(time.monotonic())
        streaming(*HELLO)(handler)

    server.answers = [limited, served]
    assert reply(engine_for(server)) == "def f(): ..."
    assert asked_at[1] - asked_at[0] >= 1.0
    server.seen.clear()
    server.answers = [refusing(429, {"error": "slow down"}, Retry_After="3600")]
    _, error = failing(engine_for(server))
    assert "3600 s" in str(error)
    assert len(server.asked) == 1


def test_retry_after_is_a_number_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert retry_after_s("2.5") == 2.5
    assert retry_after_s(format_datetime(now + timedelta(seconds=9)), now) == 9.0
    assert retry_after_s(format_datetime(now - timedelta(seconds=9)), now) == 0.0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None


def test_a_connection_that_breaks_before_the_answer_is_made_again(server: ModelServer) -> None:
    def hang_up(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    server.answers = [hang_up, streaming(*HELLO)]
    assert reply(engine_for(server)) == "def f(): ..."


@pytest.mark.parametrize(
    "answer",
    [
        refusing(404, {"error": {"message": "The model `tiny` does not exist.", "code": "x"}}),
        refusing(404, {"object": "error", "message": "model 'tiny' not found"}),
        refusing(400, {"detail": "Server is pinned to 'other'; requested 'tiny'."}),
    ],
)
def test_a_model_that_the_server_does_not_know_is_named(
    server: ModelServer, answer: Answer
) -> None:
    server.models = refusing(404, {"detail": "Not Found"})  # It lists nothing.
    server.answers = [answer]
    engine = engine_for(server)
    engine.load()
    _, error = failing(engine)
    assert isinstance(error, ModelNotFound)
    assert "does not serve 'tiny'" in str(error)


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_lists_no_models_is_taken_at_its_word(
    server: ModelServer, status: int
) -> None:
    server.models = refusing(status, {"error": "no cache folder"})
    server.answers = [streaming(*HELLO)]
    assert reply(engine_for(server, "whatever")) == "def f(): ..."


# --- parameters that a server refuses ------------------------------------------------------------


def test_a_refused_parameter_is_left_out_once_and_told(server: ModelServer) -> None:
    def answer(handler: Handler) -> None:
        for name in ("stream_options", "seed", "top_p"):
            if name in handler.body:
                handler.send_json(
                    422, {"detail": f"Unexpected fields in the request: {{'{name}'}}"}
                )
                return
        streaming(*HELLO)(handler)

    server.answers = [answer]
    engine = engine_for(server)
    first = engine.generate("x", SAMPLED)
    assert "".join(first) == "def f(): ..."
    assert [note.split(",")[0] for note in first.notes] == [
        "The server does not take seed",
        "The server does not take top_p",
    ]
    assert len(server.asked) == 4
    second = engine.generate("x", SAMPLED)
    assert "".join(second) == "def f(): ..."
    assert second.notes == []
    assert len(server.asked) == 5, "what is refused is not sent a second time"


def test_streams_that_are_refused_together_tell_it_once(server: ModelServer) -> None:
    together = threading.Barrier(5)

    def answer(handler: Handler) -> None:
        if "seed" in handler.body:
            together.wait(BOUND_S)  # All five are sent before the first is refused.
            handler.send_json(400, {"error": {"message": "seed is not supported"}})
        else:
            streaming(*HELLO)(handler)

    server.answers = [answer]
    engine = engine_for(server)
    completions = [engine.generate("x", SAMPLED) for _ in range(5)]
    assert ["".join(completion) for completion in completions] == ["def f(): ..."] * 5
    assert len([note for completion in completions for note in completion.notes]) == 1


def test_newer_names_are_used_where_a_server_asks_for_them(server: ModelServer) -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    refusal = {"error": {"message": message, "param": "max_tokens"}}
    server.answers = [refusing(400, refusal), streaming(*HELLO)]
    completion = engine_for(server).generate("x", GREEDY)
    assert "".join(completion) == "def f(): ..."
    assert server.asked[1].body["max_completion_tokens"] == 64
    assert "max_tokens" not in server.asked[1].body
    assert completion.notes == []


def test_any_other_refusal_is_told_as_it_is(server: ModelServer) -> None:
    server.answers = [refusing(400, {"error": {"message": "your prompt is rude \x1b[31m"}})]
    _, error = failing(engine_for(server))
    assert "refused the request (400): your prompt is rude" in str(error)
    assert "\x1b" not in str(error)
    assert len(server.asked) == 1


# --- a context that is too small -----------------------------------------------------------------

VLLM_WORDS = (
    "This model's maximum context length is 100 tokens. However, you requested {} tokens "
    "({} in the messages, 64 in the completion). Please reduce the length."
)


def test_a_prompt_that_the_server_finds_too_long_is_told(server: ModelServer) -> None:
    server.answers = [refusing(400, {"error": {"message": VLLM_WORDS.format(1000, 936)}})]
    _, error = failing(engine_for(server))
    assert "too long for tiny" in str(error)
    assert "100 tokens" in str(error)
    assert len(server.asked) == 1
    words = "the request exceeds the available context size (100 tokens), try increasing it"
    server.answers = [refusing(400, {"error": {"message": words}})]
    _, error = failing(engine_for(server))
    assert "too long for tiny" in str(error)


def test_a_reply_is_shortened_to_the_room_that_is_left(server: ModelServer) -> None:
    refusal = {"error": {"message": VLLM_WORDS.format(124, 60)}}
    server.answers = [refusing(400, refusal), streaming(*HELLO)]
    completion = engine_for(server).generate("x", GREEDY)
    assert "".join(completion) == "def f(): ..."
    assert server.asked[1].body["max_tokens"] == 40
    assert completion.notes == ["The model's context leaves room for a reply of 40 tokens."]


def test_a_prompt_too_long_is_told_before_it_is_sent_where_the_server_counts(
    server: ModelServer,
) -> None:
    listed = {"id": "tiny", "owned_by": "vllm", "max_model_len": 10}
    server.models = refusing(200, {"data": [listed]})

    def answer(handler: Handler) -> None:
        if handler.path == "/tokenize":
            words = handler.body["prompt"].split()
            handler.send_json(200, {"count": len(words), "tokens": list(range(len(words)))})
        else:
            streaming(*HELLO)(handler)

    server.answers = [answer]
    engine = engine_for(server)
    assert engine.status()["context"] == 10
    _, error = failing(engine, "word " * 12)
    assert "has 12 tokens and tiny sees at most 10" in str(error)
    assert server.asked == []
    assert reply(engine, prompt="word " * 4) == "def f(): ..."
    assert server.asked[0].body["max_tokens"] == 6


def test_a_prompt_too_long_is_counted_here_where_the_models_files_are(
    server: ModelServer, tmp_path: Path
) -> None:
    from engine_fixtures import llama3_like_tokenizer

    llama3_like_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 40}')
    server.models = refusing(200, {"data": [{"id": str(tmp_path)}]})
    server.answers = [streaming(*HELLO)]
    engine = engine_for(server, str(tmp_path))
    _, error = failing(engine, "import torch\n" * 40)
    assert "sees at most 40" in str(error)
    assert server.asked == []
    assert reply(engine, prompt="import torch") == "def f(): ..."
    assert server.asked[0].body["max_tokens"] < 40


# --- faults in the middle of a reply -------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        "data: {not json\n\n",
        'data: "text"\n\n',
        'data: {"choices": 3}\n\n',
        'data: {"choices": ["x"]}\n\n',
        'data: {"hello": "world"}\n\n',
    ],
)
def test_a_malformed_stream_is_told_and_what_had_come_is_kept(
    server: ModelServer, bad: str
) -> None:
    server.answers = [streaming(event("kept "), bad, event("lost"))]
    arrived, error = failing(engine_for(server))
    assert arrived == "kept "
    assert "no streamed completion" in str(error)
    assert len(server.asked) == 1


def test_a_page_in_place_of_a_stream_is_told(server: ModelServer) -> None:
    page = "<html><body>Please log in</body></html>"
    server.answers = [lambda handler: handler.send_text(200, page, "text/html")]
    _, error = failing(engine_for(server))
    assert "no streamed completion" in str(error)
    assert "Please log in" in str(error)


@pytest.mark.parametrize(
    "report",
    [
        'data: {"error": {"message": "CUDA out of memory"}}\n\n',
        'data: {"error": "CUDA "out of memory" here"}\n\n',  # As transformers serve writes it.
        'error: {"message": "CUDA out of memory"}\n\n',
        "event: error\ndata: CUDA out of memory\n\n",
    ],
)
def test_an_error_that_the_server_reports_in_the_stream_is_told(
    server: ModelServer, report: str
) -> None:
    server.answers = [streaming(event("kept"), report)]
    arrived, error = failing(engine_for(server))
    assert arrived == "kept"
    assert "failed on" in str(error)
    assert "CUDA" in str(error)


@pytest.mark.parametrize("ending", [streaming, dropping_after])
def test_a_disconnect_in_the_middle_is_told_and_what_had_come_is_kept(
    server: ModelServer, ending: Any
) -> None:
    server.answers = [ending(event("kept "), event("too"))]
    arrived, error = failing(engine_for(server))
    assert arrived == "kept too"
    assert "ended before the reply did" in str(error)
    assert len(server.asked) == 1, "a reply that has begun is not begun again"


def test_a_connection_cut_after_the_last_piece_is_no_failure(server: ModelServer) -> None:
    server.answers = [dropping_after(event("all"), event("", "length"))]
    completion = engine_for(server).generate("x", GREEDY)
    assert ("".join(completion), completion.finish) == ("all", "length")


def test_a_stream_that_falls_silent_is_given_up(server: ModelServer) -> None:
    server.answers = [silent_after(event("kept"))]
    arrived, error = failing(engine_for(server, silent_s=0.3))
    assert arrived == "kept"
    assert "since the last piece of text" in str(error)
    assert server.left.wait(BOUND_S)


@pytest.mark.parametrize("piece", [": alive\n\n", event("")])
def test_signs_of_life_without_text_do_not_hold_a_stream_open(
    server: ModelServer, piece: str
) -> None:
    server.answers = [endless(piece)]
    _, error = failing(engine_for(server, first_s=0.5))
    assert "has sent nothing" in str(error)
    assert server.left.wait(BOUND_S)


def test_a_reply_that_never_ends_is_ended_at_its_length(server: ModelServer) -> None:
    server.answers = [endless(event("import torch\n"))]
    completion = engine_for(server).generate("x", GREEDY)
    text = "".join(completion)
    assert completion.finish == "length"
    assert len(text) <= 64 * 20
    assert server.left.wait(BOUND_S)


# --- cancelling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [never_answering, silent_after(), silent_after(event("a"))])
def test_closing_closes_the_connection_whatever_it_waits_for(
    server: ModelServer, answer: Answer
) -> None:
    server.answers = [answer]
    completion = engine_for(server).generate("x", GREEDY)
    while not server.asked:
        time.sleep(0.005)
    completion.close()
    completion.close()
    assert server.left.wait(BOUND_S)
    assert completion.finish == "cancelled"
    assert "".join(completion) in ("", "a")


def test_closing_from_another_thread_ends_the_wait_for_text(server: ModelServer) -> None:
    server.answers = [silent_after()]
    completion = engine_for(server).generate("x", GREEDY)
    threading.Timer(0.2, completion.close).start()
    assert list(completion) == []
    assert completion.finish == "cancelled"
    assert server.left.wait(BOUND_S)


def test_closing_while_a_retry_is_waited_for_asks_no_more(server: ModelServer) -> None:
    server.answers = [refusing(429, {"error": "busy"}, Retry_After="4")]
    completion = engine_for(server).generate("x", GREEDY)
    while not server.asked:
        time.sleep(0.005)
    completion.close()
    assert list(completion) == []
    assert len(server.asked) == 1


def test_closing_counts_when_the_answer_comes_at_the_same_moment() -> None:
    async def race() -> None:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(_within(30.0, answer))
        await asyncio.sleep(0)
        answer.set_result(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(race())
