"""Trains the starter model from nothing, on one CPU thread.

    python tools/starter/train.py OUTPUT_FOLDER --examples 200000

The same seed, number of examples and versions give the same corpus in the same order. Matrices are
optimised by Muon (orthogonalised momentum; Jordan et al. 2024), the rest by AdamW, on float32
copies of bfloat16 weights. Only the tokens of the answer count in the loss.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import random
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[2])]

import torch
from kernelllm_jupyter.starter.graph import LIMITS, moved
from torch.nn.functional import cross_entropy
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from corpus import draw, drilled
from vocabulary import build

Pair = tuple[list[int], list[int]]
IGNORED = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--examples", type=int, default=200_000)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--tokens-per-step", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=pathlib.Path, help="a checkpoint to go on from")
    parser.add_argument("--rate", type=float, default=1.0, help="times the usual learning rate")
    parser.add_argument("--first", type=int, default=0, help="number of the first example")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.resume is not None:
        tokenizer = AutoTokenizer.from_pretrained(options.resume)
        model = LlamaForCausalLM.from_pretrained(options.resume, dtype=torch.float32)
    else:
        tokenizer = build(options.folder)
        model = new_model(tokenizer, options)
    train(model, tokenizer, options)


def new_model(tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.hidden,
        intermediate_size=options.hidden * 8 // 3,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encoded(
    tokenizer: PreTrainedTokenizerFast, seed: int, split: str = "train", longest: int = LIMITS["v"]
) -> Pair | None:
    """Token ids of prompt (with BOS) and answer (with EOS), or None beyond ``longest`` steps.

    Two in five training pairs are drills, which have every operation about equally often.
    A third of the training pairs have their labels moved up by a random number, so that the
    labels of long graphs are met more often.
    """
    if split == "train" and seed % 5 < 2:
        example = drilled(seed)
    else:
        example = draw(seed, split, usual=split != "train")
    if example.steps > longest:
        return None
    order = random.Random(seed)
    room = LIMITS["v"] - example.steps
    shift = order.randint(0, room) if split == "train" and order.random() < 0.33 else 0
    prompt = tokenizer(moved(example.prompt, shift), add_special_tokens=False).input_ids
    answer = tokenizer(moved(example.answer, shift), add_special_tokens=False).input_ids
    return [tokenizer.bos_token_id, *prompt], [*answer, tokenizer.eos_token_id]


def batches(
    tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace
) -> Iterator[list[Pair]]:
    """Batches of pairs of like length, at most ``tokens_per_step`` each, in a seeded order.

    Over the first quarter of the training the longest graphs grow from 5 steps to all: copying out
    of a short prompt is learned much sooner, and carries over.
    """
    order, tokens = random.Random(options.seed), options.tokens_per_step
    for start in itertools.count(options.first, step=512):
        done = start - options.first
        longest = 6 + round(LIMITS["v"] * 6 * done / options.examples)
        if options.resume is not None:
            longest = LIMITS["v"]
        drawn = (encoded(tokenizer, start + offset, longest=longest) for offset in range(512))
        pairs = [pair for pair in drawn if pair is not None]
        pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
        found: list[list[Pair]] = [[]]
        for pair in pairs:
            if (len(pair[0]) + len(pair[1])) * (len(found[-1]) + 1) > tokens:
                found.append([])
            found[-1].append(pair)
        found = [batch for batch in found if batch]
        order.shuffle(found)
        yield from found


def padded(pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, [batch, longest]; a target of IGNORED does not count."""
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    inputs = torch.zeros((len(pairs), longest), dtype=torch.long)
    targets = torch.full((len(pairs), longest), IGNORED)
    for row, (prompt, answer) in enumerate(pairs):
        inputs[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        targets[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return inputs, targets


def predictions(
    model: LlamaForCausalLM, pairs: list[Pair]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of the answers' tokens, the tokens, and where they are."""
    inputs, targets = padded(pairs)
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state[:, :-1]
    counted = targets[:, 1:] != IGNORED
    return model.lm_head(hidden[counted]).float(), targets[:, 1:][counted], counted


@torch.no_grad()
def exact(model: LlamaForCausalLM, pairs: list[Pair]) -> float:
    """The share of ``pairs`` whose every token is the most likely one, given those before."""
    right = 0
    for start in range(0, len(pairs), 16):
        logits, tokens, counted = predictions(model, pairs[start : start + 16])
        hits = torch.ones_like(counted)
        hits[counted] = logits.argmax(-1) == tokens
        right += int(hits.all(dim=1).sum())
    return right / len(pairs)


def optimisers(masters: list[torch.Tensor], names: list[str]) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for embeddings and gains.

    Queries and keys learn at half the rate: Muon's steps are of one size for every matrix,
    Llama has no normalisation of queries and keys, and at the full rate attention saturates (its
    weights all 0 or 1) within a few hundred steps, after which it learns no more.
    """
    groups: dict[str, list[torch.Tensor]] = {"attention": [], "matrix": [], "other": []}
    for master, name in zip(masters, names, strict=True):
        is_matrix = master.ndim == 2 and "embed" not in name
        kind = "attention" if "q_proj" in name or "k_proj" in name else "matrix"
        groups[kind if is_matrix else "other"].append(master)
    return [
        torch.optim.Muon(groups["attention"], lr=0.01, weight_decay=0.0),
        torch.optim.Muon(groups["matrix"], lr=0.02, weight_decay=0.0),
        torch.optim.AdamW(groups["other"], lr=2e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace
) -> None:
    """Train on ``options.examples`` pairs; the rate falls linearly over the last 60 %, or from
    the beginning where a training is resumed.
    """
    masters = [p.detach().float().clone().requires_grad_(True) for p in model.parameters()]
    chosen = optimisers(masters, [name for name, _ in model.named_parameters()])
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in chosen]
    model.to(torch.bfloat16)
    unseen = [pair for seed in range(150) if (pair := encoded(tokenizer, seed, "test"))]
    seen = tokens = step = 0
    started = reported = time.monotonic()
    total = 0.0
    for pairs in batches(tokenizer, options):
        share = seen / options.examples
        if share >= 1:
            break
        level = 0.0 if options.resume is not None else 0.4
        factor = min(1.0, (step + 1) / 60, max(0.01, (1 - share) / (1 - level)))
        factor *= options.rate
        for optimiser, base in zip(chosen, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, base, strict=True):
                group["lr"] = rate * factor
        logits, targets, _ = predictions(model, pairs)
        loss = cross_entropy(logits, targets)
        loss.backward()
        update(model, masters, chosen)
        step, seen = step + 1, seen + len(pairs)
        tokens += sum(len(prompt) + len(answer) for prompt, answer in pairs)
        total += loss.item()
        if step % 250 == 0:
            now = time.monotonic()
            print(
                f"step {step} examples {seen} tokens {tokens / 1e6:.2f}M {now - started:.0f} s "
                f"{tokens / (now - started):.0f} tokens/s loss {total / 250:.4f}",
                flush=True,
            )
            total = 0.0
            if now - reported > 120:
                print(f"  exact on unseen pairs: {exact(model, unseen):.3f}", flush=True)
                save(model, tokenizer, options, seen, tokens, now - started)
                reported = time.monotonic()
    print(f"exact on unseen pairs: {exact(model, unseen):.3f}", flush=True)
    save(model, tokenizer, options, seen, tokens, time.monotonic() - started)


@torch.no_grad()
def update(
    model: LlamaForCausalLM, masters: list[torch.Tensor], chosen: list[torch.optim.Optimizer]
) -> None:
    """One step on the float32 copies, copied back to the bfloat16 weights."""
    for master, parameter in zip(masters, model.parameters(), strict=True):
        master.grad = parameter.grad.float()
        parameter.grad = None
    torch.nn.utils.clip_grad_norm_(masters, 1.0)
    for optimiser in chosen:
        optimiser.step()
    for master, parameter in zip(masters, model.parameters(), strict=True):
        parameter.copy_(master)


def save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    options: argparse.Namespace,
    seen: int,
    tokens: int,
    seconds: float,
) -> None:
    """The checkpoint as transformers loads it, with how it came about in ``training.json``:
    the runs that it resumed, oldest first, and this one.
    """
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
        max_new_tokens=1200,
    )
    model.save_pretrained(options.folder)
    tokenizer.save_pretrained(options.folder)
    (options.folder / "profile.json").write_text('{"profile": "starter"}\n')
    run = {
        "first": options.first,
        "examples": seen,
        "of": options.examples,
        "tokens": tokens,
        "tokens_per_step": options.tokens_per_step,
        "rate": options.rate,
        "seed": options.seed,
        "seconds": round(seconds),
        "torch": torch.__version__,
    }
    figures = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": len(tokenizer),
        "runs": [*runs_before(options.resume), run],
    }
    (options.folder / "training.json").write_text(json.dumps(figures, indent=2) + "\n")


def runs_before(checkpoint: pathlib.Path | None) -> list[dict[str, object]]:
    """The runs that made ``checkpoint``, as far as its ``training.json`` lists them."""
    if checkpoint is None:
        return []
    figures = json.loads((checkpoint / "training.json").read_text())
    found: list[dict[str, object]] = figures.get("runs", [])
    return found


if __name__ == "__main__":
    main()
