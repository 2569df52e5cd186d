"""Where a model's weights are: on its device, or parked in main memory for a while.

Works the same between any two devices, a CPU and itself among them. The tensors stay the objects
that they are, with other memory behind them, so that whoever refers to them (tied weights, compiled
passes) finds them again; captured passes, which know addresses, are captured anew.

Main memory that is locked would be copied to faster, and takes as long to lock as it saves once.

Imports torch; only the model process imports this module.
"""

from __future__ import annotations

import gc
import threading
from typing import Any

import torch

from kernelllm_jupyter.engines.loading import LoadedModel
from kernelllm_jupyter.engines.memory import available_bytes, size
from kernelllm_jupyter.engines.parking import MARGIN_BYTES, GivenUp, given_up

__all__ = ["Placement"]


class Placement:
    """One loaded model's memory. Nothing may be decoded during a call."""

    def __init__(self, loaded: LoadedModel):
        self._loaded = loaded
        self._lock = threading.Lock()
        self.away = False

    def make_room(self, need_bytes: int | None) -> tuple[GivenUp, str]:
        """Give up what ``need_bytes`` need; what that was, and why it was not more."""
        with self._lock:
            if self.away:
                return "weights", ""
            stepper = self._loaded.stepper
            caches = stepper.cache_bytes() if stepper is not None else 0
            movable = self._loaded.quantization == "none"
            wanted = given_up(self.free_bytes(), need_bytes, caches, movable=movable)
            if wanted == "nothing":
                return wanted, ""
            if stepper is not None:
                stepper.let_go()
            note = ""
            if wanted == "weights":
                wanted, note = self._move_away()
            elif not movable:
                note = "its weights are packed in few bits and stay on the GPU"
            self._tidy()
            return wanted, note

    def bring_back(self) -> None:
        """Have the weights where they belong; raises ``torch.OutOfMemoryError`` where they do not
        fit any more, and leaves them where they are."""
        with self._lock:
            if self.away:
                self._move(torch.device(self._loaded.device))
                self.away = False

    def free_bytes(self) -> int | None:
        """What is free on the model's GPU; None for a model in main memory."""
        device = torch.device(self._loaded.device)
        return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None

    def _move_away(self) -> tuple[GivenUp, str]:
        held = sum(tensor.nbytes for tensor in self._tensors())
        room = available_bytes()
        if room is not None and room < held + MARGIN_BYTES:
            return "caches", f"main memory has no room for its {size(held)} of weights"
        self._move(torch.device("cpu"))
        self.away = True
        return "weights", ""

    def _move(self, device: torch.device) -> None:
        """Copy every tensor, or, where one does not fit, none."""
        before: list[tuple[Any, Any]] = []
        copies: dict[tuple[Any, ...], Any] = {}
        try:
            with torch.no_grad():
                for tensor in self._tensors():
                    # Tied ones may be two objects over one memory: they stay that.
                    place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
                    if place not in copies:
                        copies[place] = tensor.detach().to(device, copy=True)
                    before.append((tensor, tensor.data))
                    tensor.data = copies[place]
        except BaseException:
            for tensor, old in before:
                tensor.data = old
            raise
        finally:
            before.clear()
            copies.clear()
            self._tidy()

    def _tensors(self) -> list[Any]:
        """Weights and buffers, each once; what a pass made of them meanwhile (inference tensors,
        which cannot be changed) is small and stays."""
        model = self._loaded.model
        found = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        return [tensor for tensor in found.values() if not tensor.is_inference()]

    def _tidy(self) -> None:
        gc.collect()
        if torch.device(self._loaded.device).type == "cuda":
            torch.cuda.empty_cache()
