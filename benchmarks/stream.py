"""Tokens per second through the engine's stream, over those of bare ``model.generate``.

Both run the same checkpoint, prompt, dtype and number of threads, greedily, by turns, in one run;
the ratio is that of neighbours in time, so that a busy machine does not decide it. The stream is
measured where it is used: in the client, from the request to the last piece of text.

    python benchmarks/stream.py [--model FOLDER] [--tokens N] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests" / "python")]

PROMPT = """\
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x, y):
        z = torch.tanh(x) * 2.5 + y
        z = torch.sigmoid(z) * torch.relu(x - y) + torch.exp(-z)
        return torch.nn.functional.gelu(z) / (1.0 + torch.abs(y))


def get_inputs():
    return [torch.randn(4, 33), torch.randn(4, 33)]
"""
TARGET = 0.9


@dataclass(frozen=True)
class Run:
    """One reply: ``tokens`` in ``seconds``."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class Bare:
    """``model.generate`` in this process, with nothing around it."""

    def __init__(self, folder: Path):
        import torch

        from kernelllm_jupyter.engines.loading import load_checkpoint

        self._torch = torch
        self._loaded = load_checkpoint(folder, "auto", "auto")

    def __str__(self) -> str:
        loaded = self._loaded
        return (
            f"{loaded.parameters / 1e6:.2f}M parameters, {loaded.device}, {loaded.dtype}, "
            f"{self._torch.get_num_threads()} threads"
        )

    def run(self, prompt: str, tokens: int) -> Run:
        loaded = self._loaded
        started = time.perf_counter()
        ids = loaded.prompt_ids(prompt)
        rows = self._torch.tensor([ids], device=loaded.device)
        answer = loaded.model.generate(
            rows,
            attention_mask=self._torch.ones_like(rows),
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=sorted(loaded.stop_ids),
            pad_token_id=0,
        )
        written = answer[0, len(ids) :].tolist()
        loaded.tokenizer.decode(written)
        return Run(len(written), time.perf_counter() - started)


def through_engine(engine: object, prompt: str, tokens: int) -> Run:
    from kernelllm_jupyter.engines.local import LocalEngine
    from kernelllm_jupyter.values import Sampling

    assert isinstance(engine, LocalEngine)
    started = time.perf_counter()
    completion = engine.generate(prompt, Sampling(temperature=0.0, max_new_tokens=tokens))
    for _ in completion:
        pass
    return Run(completion.tokens, time.perf_counter() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a checkpoint's folder (default: the starter)")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kllm-") as scratch:
        return measure(arguments, Path(scratch))


def measure(arguments: argparse.Namespace, scratch: Path) -> int:
    from kernelllm_jupyter.engines.local import LocalEngine, stop_all

    folder, prompt = choose(arguments.model, scratch)
    engine = LocalEngine(str(folder), runtime_dir=scratch / "run", idle_s=60.0)
    try:
        engine.load()
        bare = Bare(folder)
        pairs = []
        for _ in range(arguments.rounds + 1):
            pairs.append(
                (
                    bare.run(prompt, arguments.tokens),
                    through_engine(engine, prompt, arguments.tokens),
                )
            )
    finally:
        stop_all(scratch / "run")
    del pairs[0]  # The first call of either warms it up.
    if len({run.tokens for pair in pairs for run in pair}) != 1:
        print("the two did not generate the same number of tokens: nothing to compare")
        return 1
    ratios = sorted(stream.rate / alone.rate for alone, stream in pairs)
    ratio = statistics.median(ratios)
    print(f"{folder.name}: {bare}; {pairs[0][0].tokens} tokens a reply, {len(pairs)} rounds")
    print(f"bare generate   {statistics.median(pair[0].rate for pair in pairs):7.0f} tokens/s")
    print(f"engine's stream {statistics.median(pair[1].rate for pair in pairs):7.0f} tokens/s")
    low, high = ratios[len(ratios) // 5], ratios[-1 - len(ratios) // 5]
    print(f"ratio {ratio:.3f} (20-80 %: {low:.3f}-{high:.3f}); wanted: at least {TARGET}")
    return 0 if ratio >= TARGET else 1


def choose(model: Path | None, scratch: Path) -> tuple[Path, str]:
    """A folder and a prompt for it: the named one, the starter, or random weights of its size."""
    from kernelllm_jupyter.problem import parse_problem
    from kernelllm_jupyter.prompts import profile_for, resolve_model

    if model is None:
        starter = Path(resolve_model("starter"))
        if (starter / "model.safetensors").is_file():
            return starter, profile_for("starter").prompt(parse_problem(PROMPT))
        from engine_fixtures import make_checkpoint

        return make_checkpoint(scratch / "random", hidden=192, layers=4, context=2048), PROMPT
    return model.resolve(), profile_for(str(model)).prompt(parse_problem(PROMPT))


if __name__ == "__main__":
    sys.exit(main())
