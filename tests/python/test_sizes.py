"""Integers that inputs are made from are found in any spelling, and only those are rewritten."""

from __future__ import annotations

import pytest

from kernelllm_jupyter.verify.sizing.sizes import find_sites, integers, rewritten

SPELLINGS = """
import torch
batch, shape = 16 * 1024, (3, 2 ** 8)
width: int = 1 << 6
heads = 4
depth = width // heads
unused = 77

class Model(torch.nn.Module):
    def __init__(self, features=heads):
        super().__init__()

def noise(n):
    return torch.randn(n, 5)

def get_inputs():
    torch.manual_seed(42)
    return [torch.randn(batch, *shape, depth, width), noise(9)]

def get_init_inputs():
    return [shape[1]]
"""


def test_names_tuples_expressions_and_called_functions_are_found() -> None:
    found = [(site.name, site.value) for site in find_sites(SPELLINGS)]
    assert found == [
        ("batch", 16384),
        ("shape", 3),
        ("shape", 256),
        ("width", 64),
        ("", 5),
        ("", 9),
    ]


def test_what_a_class_reads_is_left_alone() -> None:
    assert not any(site.name == "heads" for site in find_sites(SPELLINGS))


def test_an_argument_that_is_called_like_a_size_does_not_hide_it() -> None:
    source = """
features = 512
class Model:
    def __init__(self, features):
        self.features = features
def get_init_inputs():
    return [features]
"""
    assert [site.value for site in find_sites(source)] == [512]


def test_another_value_stands_where_the_old_one_stood() -> None:
    sites = {(site.name, site.value): site for site in find_sites(SPELLINGS)}
    changed = rewritten(SPELLINGS, {sites["batch", 16384]: 7, sites["width", 64]: 123456})
    assert "batch, shape = 7, (3, 2 ** 8)" in changed
    assert "width: int = 123456" in changed
    assert changed.count("\n") == SPELLINGS.count("\n")


@pytest.mark.parametrize("text", ["# größe ✓\n", "\ufeff# x\n", "'''a\n\fb'''\n"])
def test_offsets_are_right_beside_any_text(text: str) -> None:
    source = f"{text}größe = 12; n = größe\ndef get_inputs():\n    return [x(n, 'ü', 31)]\n"
    sites = find_sites(source.lstrip("\ufeff"))
    assert [site.value for site in sites] == [12, 31]
    changed = rewritten(source.lstrip("\ufeff"), dict.fromkeys(sites, 9999))
    assert changed == source.lstrip("\ufeff").replace("12", "9999").replace("31", "9999")


def test_an_expression_that_would_take_for_ever_is_left_alone() -> None:
    source = "N = 2 ** 10 ** 10\ndef get_inputs():\n    return [N, 9 ** 9 ** 9]\n"
    assert all(site.value <= 1 << 40 for site in find_sites(source))


def test_integers_of_a_candidate_are_computed() -> None:
    assert {1024, 7, 65536} <= integers("a = 4 * 256\nb = x[7]\nc = 1 << 16")
    assert integers("not python (") == set()
