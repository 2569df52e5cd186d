"""Keys for servers: where they come from, for whom they are, and how they stay out of sight.

A key is looked up for one host. It comes from the user's keyring (service ``kernelllm-jupyter``,
the host as the user name) or from the environment, and goes nowhere but into that host's
``Authorization`` header. Nothing here is ever an option of a magic, which would be in the notebook.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelllm_jupyter.address import ServerAddress, server_address
from kernelllm_jupyter.errors import UsageError

__all__ = ["KEYRING_SERVICE", "Key", "find_key", "redacted"]

KEYRING_SERVICE = "kernelllm-jupyter"
OPENAI_HOST = "api.openai.com"
#: What looks like a key, also where it is not ours: servers repeat what was sent to them.
LIKE_A_KEY = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',}]+|\b(?:sk|hf|gsk|xai|nvapi|pk)[-_][A-Za-z0-9*_\-.]{6,}"
)


@dataclass(frozen=True)
class Key:
    """A secret and where it was found; its text and its representation do not show it."""

    secret: str = field(repr=False)
    source: str

    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


def find_key(address: ServerAddress, environment: Mapping[str, str] | None = None) -> Key | None:
    """The key for this server: the keyring's for its host, else one of the environment.

    ``KERNELLLM_API_KEY`` is for whichever server the user named. ``OPENAI_API_KEY`` is for OpenAI,
    or for the server of ``OPENAI_BASE_URL`` where that is set, and for no other.
    """
    variables = os.environ if environment is None else environment
    stored = _from_keyring(address)
    if stored is not None:
        return stored
    for name in ("KERNELLLM_API_KEY", "OPENAI_API_KEY"):
        secret = variables.get(name, "").strip()
        if not secret or (name == "OPENAI_API_KEY" and not _meant_by_openai(address, variables)):
            continue
        return _key(secret, name)
    return None


def _meant_by_openai(address: ServerAddress, variables: Mapping[str, str]) -> bool:
    configured = variables.get("OPENAI_BASE_URL", "").strip()
    if not configured:
        return address.authority == OPENAI_HOST and address.encrypted
    try:
        meant = server_address(configured)
    except UsageError:
        return False
    return meant is not None and meant.base_url == address.base_url


def _from_keyring(address: ServerAddress) -> Key | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    for name in dict.fromkeys((address.authority, address.host)):
        try:
            secret = keyring.get_password(KEYRING_SERVICE, name)
        except (KeyringError, OSError):  # None here, or locked: the environment may have one.
            return None
        if secret:
            return _key(secret.strip(), f"keyring ({name})")
    return None


def _key(secret: str, source: str) -> Key:
    if not secret.isascii() or not secret.isprintable():
        raise UsageError(f"{source} holds characters that no key has; set it again.")
    return Key(secret, source)


def redacted(text: str, key: Key | None) -> str:
    """``text`` without ``key`` and without anything that looks like one."""
    if key is not None and key.secret:
        text = text.replace(key.secret, "[key]")
    return LIKE_A_KEY.sub("[key]", text)
