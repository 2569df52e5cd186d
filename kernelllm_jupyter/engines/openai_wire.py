"""What is said to an OpenAI-compatible server and how its answers are read. Pure functions.

The servers differ: what they call the end of a reply, which parameters they refuse and with what
words, whether they count tokens. What is known of each stands here, and nothing else does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.values import FinishReason, Message, Prompt, Sampling

__all__ = [
    "Listing",
    "Malformed",
    "Piece",
    "Reported",
    "context_room",
    "endpoint",
    "error_words",
    "read_listing",
    "read_piece",
    "refused_parameter",
    "request_body",
]

#: How top-k filtering is switched off, on the servers that have it and apply a default of their
#: own; every other one is sent no ``top_k`` unless the user asks for one.
TOP_K_OFF: Mapping[str, int] = {"vllm": -1, "sglang": -1, "llamacpp": 0}
#: What a request can do without, where a server refuses it.
OPTIONAL = ("stream_options", "seed", "top_k", "top_p", "temperature", "max_tokens")
#: A BOS that is spelled out would be doubled: servers add their own.
SPELLED_BOS = re.compile(r"\A\s*(<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)")
FINISHES: Mapping[str, FinishReason] = {"length": "length", "max_tokens": "length"}
DONE = "[DONE]"


class Malformed(ValueError):
    """This is no piece of a streamed completion."""


class Reported(ValueError):
    """The server reports an error where a piece of the reply was due; the text is its own."""


@dataclass(frozen=True)
class Piece:
    """What one event brings. ``thought`` is reasoning that the server keeps apart from the reply.

    ``tokens`` counts the whole reply so far, where the server says so.
    """

    text: str = ""
    thought: str = ""
    finish: FinishReason | None = None
    tokens: int | None = None
    done: bool = False


@dataclass(frozen=True)
class Listing:
    """What ``/models`` says: names with their context in tokens, and what kind of server it is."""

    models: Mapping[str, int | None]
    kind: str = ""


# --- asking --------------------------------------------------------------------------------------


def endpoint(prompt: Prompt) -> str:
    """Raw text is completed, messages are answered."""
    return "completions" if isinstance(prompt, str) else "chat/completions"


def request_body(
    model: str, prompt: Prompt, sampling: Sampling, kind: str, refused: Collection[str] = ()
) -> dict[str, Any]:
    """The request for one streamed reply, without the parameters that were ``refused`` before."""
    body: dict[str, Any] = {"model": model, "stream": True}
    if isinstance(prompt, str):
        body["prompt"] = SPELLED_BOS.sub("", prompt)
    else:
        body["messages"] = _messages(prompt)
    wanted = {
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "stream_options": {"include_usage": True},
    }
    if sampling.temperature != 0:  # Greedy needs none of these, and some servers refuse them.
        top_k = sampling.top_k or TOP_K_OFF.get(kind)
        wanted |= {"top_p": sampling.top_p, "seed": sampling.seed, "top_k": top_k}
    for name, value in wanted.items():
        if value is None:
            continue
        if name not in refused:
            body[name] = value
        elif name == "max_tokens" and "max_completion_tokens" not in refused:
            body["max_completion_tokens"] = value  # What OpenAI's newer models call it.
    return body


def _messages(prompt: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


# --- reading a stream ----------------------------------------------------------------------------


def read_piece(data: str, kind: str = "message") -> Piece:
    """One event's data; raises :class:`Reported` or :class:`Malformed`."""
    if data.strip() == DONE:
        return Piece(done=True)
    try:
        event = json.loads(data)
    except ValueError:
        # transformers serve puts its message into the JSON unescaped.
        if kind == "error" or re.match(r"\s*{\s*\"error\"", data):
            raise Reported(data) from None
        raise Malformed(data) from None
    if not isinstance(event, dict):
        raise Malformed(data)
    if kind == "error" or event.get("error") or event.get("object") == "error":
        raise Reported(error_words(data))
    usage = event.get("usage")
    tokens = _count(usage.get("completion_tokens")) if isinstance(usage, dict) else None
    choices = event.get("choices")
    if not isinstance(choices, list):
        if tokens is None:
            raise Malformed(data)
        choices = []
    if not choices:
        return Piece(tokens=tokens)
    return _piece(choices[0], tokens, data)


def _piece(choice: Any, tokens: int | None, data: str) -> Piece:
    if not isinstance(choice, dict):
        raise Malformed(data)
    said = choice.get("delta") or choice.get("message") or choice
    if not isinstance(said, dict):
        raise Malformed(data)
    text = said.get("content") if "content" in said else choice.get("text")
    thought = said.get("reasoning_content") or said.get("reasoning")
    finish = choice.get("finish_reason")
    return Piece(
        text=_whole(text) if isinstance(text, str) else "",
        thought=_whole(thought) if isinstance(thought, str) else "",
        finish=FINISHES.get(finish, "stop") if isinstance(finish, str) and finish else None,
        tokens=tokens,
    )


def _whole(text: str) -> str:
    """Without halves of characters, which JSON can write (``\\ud83d``) and nothing can encode."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# --- reading refusals ----------------------------------------------------------------------------


def error_words(body: str) -> str:
    """What a server's error body says, whichever of the usual forms it has."""
    try:
        found = json.loads(body)
    except ValueError:
        return re.sub(r"<[^>]*>", " ", body)  # A page of some proxy's.
    for _ in range(4):
        if isinstance(found, dict):
            named = (found.get(name) for name in ("error", "message", "detail", "msg"))
            found = next((value for value in named if value), "")
        elif isinstance(found, list) and found:
            found = found[0]
    return found if isinstance(found, str) else body


def refused_parameter(words: str, body: Mapping[str, Any]) -> str | None:
    """Which optional parameter of ``body`` a refusal names, if it names one."""
    if "max_completion_tokens" in words and "max_tokens" in body:
        return "max_tokens"
    for name in (*OPTIONAL, "max_completion_tokens"):
        if name in body and re.search(rf"\b{name}\b", words):
            return name
    return None


def context_room(words: str) -> tuple[int, int | None] | None:
    """The context that a refusal names, with the tokens of the prompt where it names them too.

    None where the refusal is about something else. vLLM, SGLang and OpenAI: "maximum context
    length is 4096 tokens. However, you requested 5000 tokens (3000 in the messages, 2000 in the
    completion)"; llama.cpp: "exceeds the available context size (4096 tokens)".
    """
    limit = re.search(
        r"context (?:length|size|window)[^\d.]{0,40}(\d[\d,]*)|longer than[^.]{0,80}context",
        words,
        re.I,
    )
    if limit is None:
        return None
    if limit[1] is None:
        return 0, None
    prompt = re.search(
        r"(\d[\d,]*)\s+(?:tokens?\s+)?(?:in|from) the (?:messages|prompt|input)"
        r"|(?:prompt|input)[^.]{0,30}?(\d[\d,]*)\s+(?:input )?tokens",
        words,
        re.I,
    )
    return _number(limit[1]), _number(prompt[1] or prompt[2]) if prompt else None


def _number(text: str) -> int:
    return int(text.replace(",", ""))


# --- reading the list of models ------------------------------------------------------------------

#: Where servers say how many tokens a model sees (vLLM; OpenRouter; Groq; Mistral).
CONTEXT_NAMES = ("max_model_len", "context_length", "context_window", "max_context_length")


def read_listing(body: str, server_header: str = "") -> Listing | None:
    """What a ``/models`` answer says, or None where it is none."""
    try:
        entries = json.loads(body)["data"]
        models = {str(entry["id"]): _context(entry) for entry in entries}
        owners = {str(entry.get("owned_by", "")).lower() for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    kind = next((name for name in TOP_K_OFF if name in owners), "")
    if not kind and server_header.lower().startswith("llama.cpp"):
        kind = "llamacpp"
    return Listing(models, kind)


def _context(entry: Mapping[str, Any]) -> int | None:
    found = (_count(entry.get(name)) for name in CONTEXT_NAMES)
    return next((count for count in found if count), None)
