"""A spawned child: ``python -m …verify.spawned ROLE DEVICE HOW FOLDER WIRE REPORT``.

It confines itself, unless HOW says ``bare``, and sets torch and the device up while it waits for a
check, so that the check finds it ready.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from kernelllm_jupyter.verify.isolation.sandbox import confine_spawned, die_with_parent
from kernelllm_jupyter.verify.traces import leave_traces


def main() -> None:
    role, device, how, folder, wire, report = sys.argv[1:]
    die_with_parent()
    if how == "confined":
        confine_spawned(role, Path(folder))
    leave_traces(Path(folder))
    import torch

    from kernelllm_jupyter.verify import roles

    torch.set_num_threads(1)
    launches = roles.install(device)
    if device != "cpu":
        torch.zeros(1, device=device)
        torch.cuda.synchronize()
    roles.play(
        role,
        Path(folder),
        socket.socket(fileno=int(wire)),
        socket.socket(fileno=int(report)) if int(report) >= 0 else None,
        launches,
        device,
    )


if __name__ == "__main__":
    main()
