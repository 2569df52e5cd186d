"""Keys: each goes to the server it is for, and into nothing that is shown."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from kernelllm_jupyter.address import ServerAddress, server_address
from kernelllm_jupyter.engines.keys import KEYRING_SERVICE, Key, find_key, redacted
from kernelllm_jupyter.errors import UsageError


class Drawer(KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture(autouse=True)
def drawer() -> Iterator[Drawer]:
    before = keyring.get_keyring()
    mine = Drawer()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


def key_for(url: str, **environment: str) -> str | None:
    found = find_key(address(url), environment)
    return found.secret if found else None


def address(url: str) -> ServerAddress:
    found = server_address(url)
    assert found is not None
    return found


def test_openais_key_goes_to_openai_only() -> None:
    key = {"OPENAI_API_KEY": "sk-openai"}
    assert key_for("https://api.openai.com#gpt-4o", **key) == "sk-openai"
    for other in (
        "http://api.openai.com#m",
        "https://api.openai.com:8443#m",
        "https://api.openai.com.example.org#m",
        "https://example.org#m",
        "http://localhost:8000#m",
    ):
        assert key_for(other, **key) is None, other


def test_openais_key_goes_where_openais_own_variable_says() -> None:
    key = {"OPENAI_API_KEY": "sk-openai", "OPENAI_BASE_URL": "https://proxy.example.org/v1"}
    assert key_for("https://proxy.example.org#m", **key) == "sk-openai"
    assert key_for("https://proxy.example.org/other/v1#m", **key) is None
    assert key_for("https://api.openai.com#m", **key) is None
    assert key_for("https://api.openai.com#m", OPENAI_API_KEY="k", OPENAI_BASE_URL="what") is None


def test_the_own_variable_goes_before_openais_and_the_keyring_before_both(drawer: Drawer) -> None:
    keys = {"KERNELLLM_API_KEY": "own", "OPENAI_API_KEY": "sk-openai"}
    assert key_for("https://api.openai.com#m", **keys) == "own"
    keyring.set_password(KEYRING_SERVICE, "api.openai.com", "kept")
    assert key_for("https://api.openai.com#m", **keys) == "kept"
    assert key_for("https://example.org#m", **keys) == "own"
    keyring.set_password(KEYRING_SERVICE, "gpu7:8000", "of this port")
    assert key_for("http://gpu7:8000#m") == "of this port"
    assert key_for("http://gpu7:8001#m") is None
    drawer.locked = True
    assert key_for("https://api.openai.com#m", **keys) == "own"


def test_nothing_shows_a_key() -> None:
    key = Key("very-secret-value", "KERNELLLM_API_KEY")
    assert "very-secret" not in f"{key} {key!r}"
    text = "Incorrect key very-secret-value; Bearer abc.def and sk-proj-0123456789 were sent"
    assert redacted(text, key) == "Incorrect key [key]; [key] and [key] were sent"
    assert redacted("a mask-based kernel, pk-1", None) == "a mask-based kernel, pk-1"


def test_a_key_that_cannot_be_one_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError, match="KERNELLLM_API_KEY holds") as caught:
        key_for("https://example.org#m", KERNELLLM_API_KEY="zwölf\nx")
    assert "zw" not in str(caught.value)
