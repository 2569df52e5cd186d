"""The candidate's process as the referee sees it: ask, wait, and distrust what comes back."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import torch

from kernelllm_jupyter.verify.codes import known_reason
from kernelllm_jupyter.verify.findings import Refusal
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, Message, receive, send
from kernelllm_jupyter.verify.tensors import Blob, pack, unpack

__all__ = ["Built", "Opponent", "Result"]

#: Longest message taken from the candidate's process, in characters.
MESSAGE_LIMIT = 8000


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
    stale: bool
    notes: tuple[str, ...]
    configuration: str | None
    devices: tuple[str, ...]


class Opponent:
    """The other end of the wire. Every failure there is a :class:`Refusal` here."""

    def __init__(self, wire: socket.socket):
        self.wire = wire

    def build(self, arguments: Any, request: dict[str, Any]) -> Built:
        """Have ``ModelNew`` built; raises ``Foreign`` where the arguments cannot cross over."""
        blobs: list[Blob] = []
        header = {
            "do": "build",
            "init": pack(arguments, blobs),
            **{
                name: request[name]
                for name in ("code", "seed", "memory_mb", "allow_tf32", "target")
            },
        }
        self._send(header, blobs)
        message = self._receive()
        _refuse_failure(message)
        try:
            return Built(
                unpack(message.header["state"], message.blobs),
                tuple(map(str, message.header["added_names"])),
            )
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise _garbled(error) from None

    def start(
        self,
        inputs: list[Any],
        weights: dict[str, torch.Tensor],
        *,
        seed: int,
        launch: bool = True,
        training: bool,
        poison_nan: bool = True,
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
            "poison_nan": poison_nan,
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
                state=unpack(header["state"], blobs),
                launches={str(name): int(count) for name, count in header["launches"].items()},
                only_copies=bool(header["only_copies"]),
                aten={str(name): int(count) for name, count in header["aten"].items()},
                stale=bool(header["stale"]),
                notes=tuple(map(str, header["notes"])),
                configuration=header["configuration"],
                devices=tuple(map(str, header["devices"])),
            )
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise _garbled(error) from None

    def _send(self, header: dict[str, Any], blobs: list[Blob]) -> None:
        try:
            send(self.wire, header, blobs)
        except Closed:
            raise _gone() from None

    def _receive(self) -> Message:
        try:
            return receive(self.wire)
        except Closed:
            raise _gone() from None
        except BadMessage as error:
            raise _garbled(error) from None


def _refuse_failure(message: Message) -> None:
    failed = message.header.get("failed")
    if failed is None:
        return
    # The candidate's code shares that process and may have written this itself.
    try:
        kind, code, text = failed["kind"], failed["code"], failed["message"]
        line = failed.get("line")
    except (KeyError, TypeError, AttributeError) as error:
        raise _garbled(error) from None
    if not known_reason(kind, code) or not isinstance(text, str) or not _is_line(line):
        raise _garbled(ValueError("no reason of ours"))
    raise Refusal(kind, code, text[:MESSAGE_LIMIT], line)


def _is_line(line: object) -> bool:
    return line is None or (type(line) is int and line > 0)


def _gone() -> Refusal:
    """The server knows more: it replaces this by how the process died."""
    return Refusal("crashed", "gone", "The candidate's process ended.")


def _garbled(error: Exception) -> Refusal:
    return Refusal("crashed", "garbled", f"The candidate's process sent no valid result ({error}).")
