"""What a checkpoint's files say about how to address it, as far as they are on this machine.

Only reads small files; nothing is imported from a checkpoint, run, or fetched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["checkpoint_folder", "declared_profile", "has_chat_template"]

#: Where transformers keeps a chat template; the first is what it writes today.
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


def checkpoint_folder(model: str) -> Path | None:
    """The folder of ``model`` (a folder or a Hugging Face id), without asking the network."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def declared_profile(folder: Path | None) -> str | None:
    """The name of the profile that a checkpoint asks for in its ``profile.json``."""
    declared = _json(folder / "profile.json") if folder else None
    found = declared.get("profile") if isinstance(declared, dict) else None
    return found if isinstance(found, str) else None


def has_chat_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in TEMPLATE_FILES):
        return True
    configuration = _json(folder / "tokenizer_config.json")
    return isinstance(configuration, dict) and bool(configuration.get("chat_template"))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
