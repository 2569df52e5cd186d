"""How many tokens a text has for a model whose tokenizer lies on this machine, and its context.

Reads ``tokenizer.json`` and ``config.json`` with neither torch nor transformers, so that a prompt
which is too long for a server's model is told before it is sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kernelllm_jupyter.engines.checkpoint import is_folder_name

__all__ = ["Counted", "count_here"]


@dataclass(frozen=True)
class Counted:
    """``context`` is what the model sees at once, prompt and reply together; 0 if not stated."""

    tokens: int
    context: int


def count_here(name: str, text: str, same_machine: bool) -> Counted | None:
    """The tokens of ``text``, a BOS included, or None where the model's files are not here.

    A folder is looked at only where the server is on the ``same_machine``: elsewhere it may be
    another one. Nothing is fetched.
    """
    folder = _folder(name, same_machine)
    if folder is None:
        return None
    loaded = _tokenizer(folder)
    if loaded is None:
        return None
    return Counted(len(loaded.encode(text).ids), _context(folder))


def _folder(name: str, same_machine: bool) -> Path | None:
    if is_folder_name(name):
        place = Path(name).expanduser()
        return place if same_machine and place.is_dir() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "tokenizer.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except Exception:  # The library raises nothing more specific; the server will count.
        return None
    tokenizer.no_truncation()
    return tokenizer


def _context(folder: Path) -> int:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    count = found.get("max_position_embeddings") if isinstance(found, dict) else None
    return count if isinstance(count, int) else 0
