"""Is there a GPU? Answered from device files, without importing torch or touching a driver."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NO_GPU", "gpu_present"]

NO_GPU = "No GPU was found on this machine (no /dev/nvidia0, /dev/kfd or /dev/dxg)."
DEVICE_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")


def gpu_present() -> bool:
    """Whether this machine shows a GPU; whether torch can use it, only a worker finds out."""
    return any(Path(name).exists() for name in DEVICE_FILES)
