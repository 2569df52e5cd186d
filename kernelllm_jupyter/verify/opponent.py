"""The candidate's process as the referee sees it: ask, wait, and distrust what comes back."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import dataclass
from select import select
from typing import Any

import torch

from kernelllm_jupyter.verify.codes import known_reason
from kernelllm_jupyter.verify.findings import Refusal
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, Message, receive, send
from kernelllm_jupyter.verify.tensors import Blob, pack, unpack

__all__ = ["Built", "Opponent", "Result", "garbled", "printable"]

#: Longest message taken from the candidate's process, in characters.
MESSAGE_LIMIT = 8000
#: Names of launches, operators and the like: how many, and how long.
MOST_WORDS = 10_000
LONGEST_WORD = 2000


@dataclass(frozen=True)
class Built:
    """A candidate that was built: its weights, and names it uses that had to be put back."""

    state: dict[str, torch.Tensor]
    added_names: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What one run of the candidate handed back: its outputs, and its arguments afterwards."""

    outputs: Any
    inputs: list[Any]
    state: dict[str, torch.Tensor]
    launches: dict[str, int]
    only_copies: bool
    aten: dict[str, int]
    #: What those ATen operators amount to, by kind, and what the host read out of tensors.
    work: dict[str, int]
    read_by_host: dict[str, int]
    stale: bool
    notes: tuple[str, ...]
    configuration: str | None
    #: By autotuned Triton function: the configuration of this run, and then all of them.
    configurations: dict[str, tuple[str, ...]]
    #: On a GPU, what its compiled kernels take of it: as the candidate's process tells it.
    compiled: dict[str, Any]
    devices: tuple[str, ...]


class Opponent:
    """The other end of the wire. Every failure there is a :class:`Refusal` here."""

    def __init__(self, wire: socket.socket):
        self.wire = wire
        #: Until when (``time.monotonic``) answers are waited for; None leaves it to the server.
        self.deadline: float | None = None
        #: Whether an answer is still out after such a wait: nothing more can be asked then.
        self.busy = False
        #: Answers to what was asked that have not been read.
        self.owed = 0

    def build(
        self,
        arguments: Any,
        request: dict[str, Any],
        *,
        again: bool = False,
        dtype: str | None = None,
    ) -> Built:
        """Have ``ModelNew`` built; raises ``Foreign`` where the arguments cannot cross over.

        ``again`` builds another one from the module that was executed before; ``dtype`` is what
        its weights are converted to.
        """
        blobs: list[Blob] = []
        header = {
            "do": "build",
            "again": again,
            "dtype": dtype,
            "init": pack(arguments, blobs),
            **{name: request[name] for name in ("code", "seed", "memory_mb", "allow_tf32")},
        }
        self._send(header, blobs)
        message = self._receive()
        _refuse_failure(message)
        try:
            return Built(
                _tensors(unpack(message.header["state"], message.blobs)),
                _words(message.header["added_names"]),
            )
        except (KeyError, ValueError) as error:
            raise garbled(error) from None

    def start(
        self,
        inputs: list[Any],
        weights: dict[str, torch.Tensor],
        *,
        seed: int,
        launch: bool = True,
        training: bool,
        only_copies: bool,
        poison: float = math.nan,
        padding_undefined: bool = False,
        keywords: tuple[str, ...] = (),
    ) -> None:
        """Have it run once, and do not wait; raises ``Foreign`` as ``build`` does."""
        blobs: list[Blob] = []
        header = {
            "do": "run",
            "inputs": pack(inputs, blobs),
            "state": pack(weights, blobs),
            "seed": seed,
            "launch": launch,
            "training": training,
            "only_copies": only_copies,
            "padding_undefined": padding_undefined,
            "keywords": keywords,
            "poison": None if math.isnan(poison) else poison,
        }
        self._send(header, blobs)

    def finish(self) -> Result:
        """Wait for the run that was started; raises :class:`Refusal` where it failed."""
        message = self._receive()
        _refuse_failure(message)
        header, blobs = message.header, message.blobs
        try:
            return Result(
                outputs=unpack(header["outputs"], blobs),
                inputs=unpack(header["inputs"], blobs),
                state=_tensors(unpack(header["state"], blobs)),
                launches=_tally(header["launches"]),
                only_copies=bool(header["only_copies"]),
                aten=_tally(header["aten"]),
                work=_tally(header["work"]),
                read_by_host=_tally(header["read_by_host"]),
                stale=bool(header["stale"]),
                notes=_words(header["notes"]),
                configuration=_word_or_none(header["configuration"]),
                configurations=_named_words(header["configurations"]),
                compiled=_compiled(header.get("compiled")),
                devices=_words(header["devices"]),
            )
        except (KeyError, ValueError) as error:
            raise garbled(error) from None

    def exchange(self, header: dict[str, Any], blobs: list[Blob]) -> Message:
        """Send any message and wait for its answer; raises :class:`Refusal` where it failed."""
        self._send(header, blobs)
        message = self._receive()
        _refuse_failure(message)
        return message

    def _send(self, header: dict[str, Any], blobs: list[Blob]) -> None:
        while self.owed:
            # A run was under way when the one before it turned out to decide.
            self._receive()
        try:
            send(self.wire, header, blobs)
        except Closed:
            raise _gone() from None
        self.owed += 1

    def _receive(self) -> Message:
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
            if not select([self.wire], [], [], left)[0]:
                self.busy = True
                raise Refusal("timeout", "timeout", "It did not finish in time.")
        self.owed -= 1
        try:
            return receive(self.wire)
        except Closed:
            raise _gone() from None
        except BadMessage as error:
            raise garbled(error) from None
        except MemoryError:
            message = "The candidate's results do not fit in the memory that a check may use."
            raise Refusal("out_of_memory", "memory", message) from None


def _tensors(found: Any) -> dict[str, torch.Tensor]:
    if not isinstance(found, dict):
        raise ValueError("no weights")
    if not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError("a weight that is no tensor")
    return found


def _named_words(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not all(value.values()):
        raise ValueError("configurations")
    return {str(name): _words(words) for name, words in value.items()}


def _words(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or len(found) > MOST_WORDS:
        raise ValueError("no list of words")
    return tuple(map(_word, found))


def _word_or_none(found: Any) -> str | None:
    return None if found is None else _word(found)


def _word(found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError("no word")
    return printable(found[:LONGEST_WORD])


def _tally(found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or len(found) > MOST_WORDS:
        raise ValueError("no tally")
    if not all(type(count) is int and 0 < count < 1 << 62 for count in found.values()):
        raise ValueError("no tally")
    return {_word(name): count for name, count in found.items()}


def _compiled(found: Any) -> dict[str, Any]:
    """Whose content is looked at where it becomes a value: see ``compilation_from``."""
    if found is None:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("kernels"), list):
        raise ValueError("no compiled kernels")
    return {"target": _word_or_none(found.get("target")), "kernels": found["kernels"][:MOST_WORDS]}


def printable(text: str) -> str:
    """Without the characters that make a terminal do something."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _refuse_failure(message: Message) -> None:
    failed = message.header.get("failed")
    if failed is None:
        return
    # The candidate's code shares that process and may have written this itself.
    try:
        kind, code, text = failed["kind"], failed["code"], failed["message"]
        line = failed.get("line")
    except (KeyError, TypeError, AttributeError) as error:
        raise garbled(error) from None
    if not known_reason(kind, code) or not isinstance(text, str) or not _is_line(line):
        raise garbled(ValueError("no reason of ours"))
    raise Refusal(kind, code, printable(text[:MESSAGE_LIMIT]), line)


def _is_line(line: object) -> bool:
    return line is None or (type(line) is int and line > 0)


def _gone() -> Refusal:
    """The server knows more: it replaces this by how the process died."""
    return Refusal("crashed", "gone", "The candidate's process ended.")


def garbled(error: Exception) -> Refusal:
    """What came back is no answer of ours."""
    return Refusal("crashed", "garbled", f"The candidate's process sent no valid result ({error}).")
