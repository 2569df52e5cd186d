"""A tiny checkpoint that was taught to write lines of code for as long as it may."""

from __future__ import annotations

import sys
from pathlib import Path

from servers import ROOT

from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import KernelLLMProfile


def make_endless_checkpoint(folder: Path, module: str) -> Path:
    """Write a checkpoint that answers KernelLLM's prompt for ``module`` without an end."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sys.path.append(str(ROOT / "tests" / "python"))
    from engine_fixtures import make_checkpoint

    make_checkpoint(folder, context=16384)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = KernelLLMProfile(str(folder)).prompt(parse_problem(module))
    ids = tokenizer(prompt + "import torch\n" * 100, return_tensors="pt").input_ids
    labels = ids.clone()
    labels[:, : len(tokenizer(prompt).input_ids)] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(100):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05
    model.save_pretrained(folder)
    return folder
