"""What a user can set once: ``c.KernelLLM.model = …`` or ``%config KernelLLM``."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Enum, Float, Int, Unicode
from traitlets.config import Configurable

__all__ = ["KernelLLM"]


class KernelLLM(Configurable):
    """Defaults of ``%%kernelllm``; an option given in a cell goes before them.

    Named after the product because IPython addresses its configuration by class name.
    """

    model = Unicode("starter", help="Hugging Face id, local folder, 'starter', or URL#NAME.").tag(
        config=True
    )
    check = Bool(True, help="Check a candidate as soon as it is there.").tag(config=True)
    k = Int(1, min=1, help="Candidates that are sampled at most; see -k.").tag(config=True)
    repair = Int(0, min=0, help="Rounds of repair at most; see --repair.").tag(config=True)
    best = Enum(
        ("first", "fastest"), "first", help="Which of several verified ones is kept; see --best."
    ).tag(config=True)
    device = Enum(("auto", "cpu", "cuda"), "auto", help="Where a check runs.").tag(config=True)
    timeout = Float(60.0, help="Seconds that a check may take.").tag(config=True)
    temperature = Float(
        None, allow_none=True, help="Sampling temperature; None is the profile's own."
    ).tag(config=True)
    top_p = Float(None, allow_none=True, help="Nucleus sampling; None is the profile's own.").tag(
        config=True
    )
    max_new_tokens = Int(
        None, allow_none=True, help="Longest reply in tokens; None is the profile's own."
    ).tag(config=True)
    idle_minutes = Float(
        30.0, min=0.1, help="Minutes after which an unused model's process ends by itself."
    ).tag(config=True)
    quantization = Enum(
        ("none", "8bit", "4bit"), "none", help="Bits of the model's weights; none leaves them."
    ).tag(config=True)
    preload = Bool(
        False, help="Load the model in the background as soon as the extension is loaded."
    ).tag(config=True)

    def as_defaults(self) -> dict[str, Any]:
        """The settings under the names of the options that they stand in for."""
        names = ("model", "quantization", "k", "repair", "best", "check", "device", "timeout")
        sampling = ("temperature", "top_p", "max_new_tokens")
        settings = {name: getattr(self, name) for name in (*names, *sampling)}
        return {**settings, "idle_s": self.idle_minutes * 60}
