"""``URL#name``: what is a server's address, and what of it must not be in a notebook."""

from __future__ import annotations

import pytest

from kernelllm_jupyter.address import ServerAddress, model_name, server_address
from kernelllm_jupyter.errors import UsageError


def address(model: str) -> ServerAddress:
    found = server_address(model)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["starter", "facebook/KernelLLM", "/models/http", "./x#y", "C:/x"])
def test_what_is_no_url_is_no_server(name: str) -> None:
    assert server_address(name) is None
    assert model_name(name) == name


@pytest.mark.parametrize(
    ("typed", "base_url"),
    [
        ("http://gpu7:8000#m", "http://gpu7:8000/v1"),
        ("http://gpu7:8000/#m", "http://gpu7:8000/v1"),
        ("http://gpu7:8000/v1#m", "http://gpu7:8000/v1"),
        ("HTTP://GPU7:8000/v1/#m", "http://gpu7:8000/v1"),
        ("https://api.openai.com#m", "https://api.openai.com/v1"),
        ("https://host:443/v1/chat/completions#m", "https://host/v1"),
        ("https://host/api/v1/models#m", "https://host/api/v1"),
        ("https://host/v1beta#m", "https://host/v1beta"),
        ("http://[::1]:8000#m", "http://[::1]:8000/v1"),
    ],
)
def test_the_address_is_read_as_people_write_it(typed: str, base_url: str) -> None:
    assert address(typed).base_url == base_url
    assert address(typed).model == "m"


def test_a_name_may_hold_anything() -> None:
    for name in ("meta-llama/Llama-3.3-70B", "/models/my model", "qwen2.5:7b", "a#b"):
        assert model_name(f"http://localhost:1#{name}") == name
    assert model_name("http://localhost:1") == ""


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("[::1]", True),
        ("kernel.localhost", True),
        ("192.168.0.7", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("example.org", False),
    ],
)
def test_only_the_loopback_is_this_machine(host: str, here: bool) -> None:
    found = address(f"https://{host}:8000#m")
    assert found.on_this_machine is here
    assert bool(found.destination) is not here
    if not here:
        assert f"https://{host}:8000 (not this machine)" in found.destination


def test_an_unencrypted_way_is_told() -> None:
    assert "unencrypted" in address("http://example.org#m").destination
    assert "unencrypted" not in address("https://example.org#m").destination


@pytest.mark.parametrize(
    "typed",
    [
        "https://user:sk-secret@host#m",
        "https://sk-secret@host#m",
        "https://host/v1?key=sk-secret#m",
    ],
)
def test_a_key_in_a_url_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(UsageError, match="KERNELLLM_API_KEY") as caught:
        server_address(typed)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("typed", ["http://#m", "http:///v1#m", "http://h:x#m", "http://h:99999#m"])
def test_an_address_that_cannot_be_is_refused_with_the_form_that_can(typed: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT#NAME"):
        server_address(typed)
