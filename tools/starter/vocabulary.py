"""The starter's tokenizer: whole fragments of lines, and bytes for everything else.

A fragment is what stands between two placeholders, such as `` = tl.maximum(``. Those of the
operations are known, the others are mined from the corpus, so that an answer takes few tokens; the
256 bytes beneath them make the tokenizer lossless for any text.
"""

from __future__ import annotations

import collections
import pathlib
import re

from kernelllm_jupyter.starter.graph import LIMITS
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from answers import HEADS, LOOPS, OPERATIONS
from corpus import draw

__all__ = ["BOS", "EOS", "PAD", "build", "fragments"]

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
_INDEXED = re.compile(r"([@#%]\d+|(?:\$(?:in|w|p|c)\d+|\$[1-9]\d*)+)")


def fragments(text: str) -> list[str]:
    """Whole lines of an answer; of a prompt what stands between labels and operands."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        echo = re.match(r"[@%]\d+", line)
        if (echo is None and not line.startswith(" ")) or line.startswith("    "):
            found.append(line)
        else:
            found += [piece for piece in _INDEXED.split(line) if piece]
    return found


def _known() -> list[str]:
    """The lines of every operation and layout, also of those that are rarely mined."""
    found = []
    for operation in [*OPERATIONS, "loop"]:
        found += [f" {operation} ", f" {operation}\n"]
    for table in (OPERATIONS, HEADS, LOOPS):
        found += [f"{line}\n" for lines in table.values() for line in lines]
    return found


def build(folder: pathlib.Path, examples: int = 3_000, least: int = 2) -> PreTrainedTokenizerFast:
    """Mine ``examples`` training pairs and save the tokenizer to ``folder``.

    A fragment must be met ``least`` times: what is rarer is written in bytes.
    """
    counts: collections.Counter[str] = collections.Counter(_known() * least)
    for seed in range(examples):
        example = draw(10_000_000 + seed, "train", usual=False)
        counts.update(fragments(example.prompt))
        counts.update(fragments(example.answer))
    placeholders = [f"${kind}{i}" for kind in ("in", "w", "p") for i in range(LIMITS[kind])]
    placeholders += [f"$c{i}" for i in (1, 2, 3)] + [f"${i}" for i in range(LIMITS["v"])]
    placeholders += [f"@{i}" for i in range(LIMITS["v"])]
    placeholders += [f"%{i}" for i in range(LIMITS["stages"])]
    placeholders += [f"${i}${k}" for i in range(1, 12) for k in range(1, 12)]
    placeholders += [f"${i}$c1" for i in range(1, 9)]
    mined = sorted(text for text, count in counts.items() if count >= least)
    pieces = placeholders + [text for text in mined if text not in placeholders and len(text) > 1]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PAD, BOS, EOS])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in pieces])
    # Programs that only have the checkpoint (servers) begin a prompt as the training did.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    fast.save_pretrained(folder)
    return fast
