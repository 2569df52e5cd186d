"""The front end's strings have a translation, and JupyterLab finds it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCALES = ROOT / "kernelllm_jupyter" / "locale"
STRING = re.compile(r"trans\s*\.\s*__\(\s*('(?:[^'\\]|\\.)*')")
#: Calls that would need more than a plain string; there are none yet.
OTHER = re.compile(r"trans\s*\.\s*_(?:n|p|np)\(")


def strings() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "labextension" / "src").glob("*.ts"):
        text = path.read_text()
        assert not OTHER.search(text), f"{path.name}: extend this test"
        assert text.count("trans.__(") == len(STRING.findall(text)), path.name
        found |= {ast.literal_eval(one) for one in STRING.findall(text)}
    return found | set(_of_the_schema())


def _of_the_schema() -> Iterator[str]:
    """What the settings editor shows."""
    schema = json.loads((ROOT / "labextension" / "schema" / "plugin.json").read_text())
    for entry in (schema, *schema["properties"].values()):
        yield from (entry["title"], entry["description"])


@pytest.mark.parametrize("locale", sorted(path.name for path in LOCALES.iterdir()))
def test_every_string_is_translated_and_none_is_left_over(locale: str) -> None:
    file = LOCALES / locale / "LC_MESSAGES" / "kernelllm_jupyter.json"
    translated = json.loads(file.read_text(encoding="utf-8"))
    assert translated.pop("") == {
        "domain": "kernelllm_jupyter",
        # With a hyphen, else the front end looks past it.
        "language": locale.replace("_", "-"),
        "plural_forms": "nplurals=1; plural=0;",
        "version": "0.1.0",
    }
    assert set(translated) == strings()
    for given, [made] in translated.items():
        assert made.strip()
        assert re.findall(r"%\d", given) == re.findall(r"%\d", made), given


def test_jupyterlab_finds_them() -> None:
    found = entry_points(group="jupyterlab.locale")
    assert found["kernelllm_jupyter"].value == "kernelllm_jupyter"
