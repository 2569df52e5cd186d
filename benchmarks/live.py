"""What it costs to hand a large live input to a check: time and memory, against torch.save.

``python benchmarks/live.py [GB]``. One process gives, another takes and reads every element, over
the socket that a check uses. Memory is what each of them holds beyond the tensor itself.
"""

from __future__ import annotations

import io
import os
import resource
import socket
import sys
import time

import torch

from kernelllm_jupyter.live.packing import Call, live_values
from kernelllm_jupyter.verify.given import Given
from kernelllm_jupyter.verify.protocol import receive, send


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sealed(wire: socket.socket, tensor: torch.Tensor) -> None:
    live = live_values([Call([tensor])])
    send(wire, {"live": live.to_json(), "has_inputs": False}, live.carried)


def saved(wire: socket.socket, tensor: torch.Tensor) -> None:
    buffer = io.BytesIO()
    torch.save([tensor], buffer)
    send(wire, {}, [buffer.getvalue()])


def taken(wire: socket.socket, way: str) -> torch.Tensor:
    message = receive(wire)
    if way == "sealed":
        found: torch.Tensor = Given.of(message.header, message.blobs).inputs[0][0]
    else:
        found = torch.load(io.BytesIO(message.blobs[0]), weights_only=True)[0]
    return found


def run(way: str, gigabytes: float) -> None:
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        before, started = peak_mb(), time.monotonic()
        total = float(taken(theirs, way).sum())
        grown = peak_mb() - before
        send(theirs, {"total": total, "mb": grown, "s": time.monotonic() - started})
        os._exit(0)
    tensor = torch.ones(int(gigabytes * (1 << 28)))
    before, started = peak_mb(), time.monotonic()
    (sealed if way == "sealed" else saved)(ours, tensor)
    sent_s, grown = time.monotonic() - started, peak_mb() - before
    answer = receive(ours).header
    whole_s = time.monotonic() - started
    os.wait()
    print(
        f"{way:7} given in {sent_s:5.2f} s, there and read in {whole_s:5.2f} s; "
        f"the giver grew by {grown:5.0f} MB, the taker by {answer['mb']:5.0f} MB"
    )


if __name__ == "__main__":
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for name in ("sealed", "saved"):
        if os.fork() == 0:
            run(name, size)
            os._exit(0)
        os.wait()
