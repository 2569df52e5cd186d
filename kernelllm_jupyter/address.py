"""``URL#name``: which model of which server, read from what the user typed.

Looks at text only: nothing is looked up and nothing is sent. Keys do not belong in a URL, where
they would get into notebooks and records, so such an address is refused without repeating it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from kernelllm_jupyter.errors import UsageError

__all__ = ["ServerAddress", "destination", "model_name", "server_address"]

#: What people paste together with the address.
ENDPOINTS = re.compile(r"/(chat/completions|completions|models)/?\Z")
VERSION_SEGMENT = re.compile(r"/v\d+[a-z0-9]*\Z")


@dataclass(frozen=True)
class ServerAddress:
    """``base_url`` ends in a version (``…/v1``); ``model`` is empty where none was named.

    ``host`` has no port, ``authority`` has one where it is not the scheme's own.
    """

    base_url: str
    model: str
    host: str
    authority: str

    @property
    def root_url(self) -> str:
        """The server without the version, where some servers keep routes of their own."""
        return VERSION_SEGMENT.sub("", self.base_url)

    @property
    def on_this_machine(self) -> bool:
        """Whether the address is this machine's loopback; a name is not looked up for that."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def encrypted(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def destination(self) -> str:
        """Where the source goes, in words; empty where it stays on this machine."""
        if self.on_this_machine:
            return ""
        where = f"{self.base_url.split(':')[0]}://{self.authority}"
        words = f"The cell's source is sent to {where} (not this machine)"
        return f"{words}." if self.encrypted else f"{words}, unencrypted."


def server_address(model: str) -> ServerAddress | None:
    """The server that ``model`` names, or None where it is no URL.

    Raises :class:`UsageError` where it is one that cannot be used.
    """
    if not re.match(r"https?:/", model, re.IGNORECASE):
        return None
    url, _, name = model.strip().partition("#")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(
            f"That is no address of a server: {error}. Use http://HOST:PORT#NAME."
        ) from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "Leave user and password out of a server's URL, which is kept with the notebook: put "
            "the key into KERNELLLM_API_KEY or your keyring (see docs/servers.md)."
        )
    if parts.query:
        raise UsageError(
            "Leave out of a server's URL what follows the question mark: the form is "
            "http://HOST:PORT#NAME, and keys come from KERNELLLM_API_KEY or your keyring."
        )
    if not parts.hostname:
        raise UsageError(f"{url} names no host: the form is http://HOST:PORT#NAME.")
    return _address(parts, port, name.strip())


def _address(parts: SplitResult, port: int | None, name: str) -> ServerAddress:
    host = str(parts.hostname)
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    authority = shown if port in (None, default) else f"{shown}:{port}"
    path = ENDPOINTS.sub("", parts.path).rstrip("/")
    if not VERSION_SEGMENT.search(path):
        path += "/v1"
    return ServerAddress(f"{parts.scheme}://{authority}{path}", name, host, authority)


def destination(model: str) -> str:
    """Where the source goes if ``model`` translates it; empty where it stays on this machine."""
    address = server_address(model)
    return "" if address is None else address.destination


def model_name(model: str) -> str:
    """What the model itself is called, wherever it runs: the part after ``#`` of a server's."""
    address = server_address(model)
    return model if address is None else address.model
