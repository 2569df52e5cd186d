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

from answers import POINTWISE, REDUCING, ROWWISE
from corpus import draw

__all__ = ["BOS", "EOS", "PAD", "build", "fragments"]

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
_INDEXED = re.compile(r"([@#]\d+|(?:\$(?:in|w|p|c)\d+|\$[1-9]\d*)+)")


def fragments(text: str) -> list[str]:
    """The numbered placeholders of ``text``, side by side in one, and what stands between them.

    What stands between is cut once, after the end of a line: so that the end of one operation and
    the beginning of the next are pieces of their own, while lines that never vary are one piece.
    """
    found: list[str] = []
    for piece in _INDEXED.split(text):
        end = 0 if _INDEXED.fullmatch(piece) else piece.find("\n") + 1
        found += [part for part in (piece[:end], piece[end:]) if part]
    return found


def _known() -> list[str]:
    """The fragments of every operation, also of those that the mined examples rarely have."""
    found = []
    for table in (POINTWISE, REDUCING, ROWWISE):
        for operation, lines in table.items():
            text = "".join(line.format(a="$1", b="$2", c="$3", d="$0") + "\n" for line in lines)
            found += [f" {operation} ", *fragments(text)]
    return found


def build(folder: pathlib.Path, examples: int = 12_000, least: int = 2) -> PreTrainedTokenizerFast:
    """Mine ``examples`` training pairs and save the tokenizer to ``folder``.

    A fragment must be met ``least`` times: what is rarer is written in bytes.
    """
    counts: collections.Counter[str] = collections.Counter(_known() * least)
    for seed in range(examples):
        example = draw(10_000_000 + seed, "train")
        counts.update(fragments(example.prompt))
        counts.update(fragments(example.answer))
    placeholders = [f"${kind}{i}" for kind in ("in", "w", "p") for i in range(LIMITS[kind])]
    placeholders += [f"$c{i}" for i in (1, 2, 3)] + [f"${i}" for i in range(LIMITS["v"])]
    placeholders += [f"{mark}{i}" for mark in "@#" for i in range(LIMITS["v"])]
    placeholders += [f"${i}${k}" for i in range(1, 16) for k in range(1, 16)]
    placeholders += [f"${i}$c1" for i in range(1, 9)]
    placeholders += ["$out", "$n", "$s", "$m", "$b", "$h", "$k", "$dim", "$count"]
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
        model_max_length=1024,
    )
    fast.save_pretrained(folder)
    return fast
