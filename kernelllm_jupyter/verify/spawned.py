"""A spawned child: ``python -m kernelllm_jupyter.verify.spawned ROLE DEVICE FOLDER WIRE REPORT``.

It sets torch and the device up while it waits for a check, so that the check finds it ready.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from kernelllm_jupyter.verify.sandbox import die_with_parent
from kernelllm_jupyter.verify.traces import leave_traces


def main() -> None:
    role, device, folder, wire, report = sys.argv[1:]
    die_with_parent()
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
