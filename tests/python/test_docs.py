"""The pages say what the code says: tables are the code's, messages are quoted, links lead on."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelllm_jupyter import check, errors
from kernelllm_jupyter.cli import command_line
from kernelllm_jupyter.notebook.magic import COMMANDS
from kernelllm_jupyter.notebook.settings import KernelLLM
from kernelllm_jupyter.options import OPTIONS
from kernelllm_jupyter.verify.codes import NOT_MADE, REASONS, WARNINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from code_tables import MARK, TABLES, filled  # noqa: E402

PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
FRONT_PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
TROUBLE = DOCS / "troubleshooting.md"


def test_every_table_is_on_a_page_and_every_mark_is_a_table() -> None:
    marks = {mark for page in PAGES for mark in MARK.findall(page.read_text())}
    assert marks == set(TABLES)


def page_of(name: str) -> str:
    return filled((DOCS / "reference" / f"{name}.md").read_text())


def test_the_reference_has_every_option_command_setting_and_code() -> None:
    magic, commands = page_of("magic"), page_of("command-line")
    for option in OPTIONS:
        assert all(f"`{flag}" in magic for flag in option.flags)
        assert option.notebook_only or all(f"`{flag}" in commands for flag in option.flags)
    assert all(f"`%kernelllm {name}`" in magic for name in COMMANDS)
    shown = re.findall(r"^## `(kernelllm .*)`$", commands, re.MULTILINE)
    assert len(shown) > 5
    for name in shown:
        with pytest.raises(SystemExit) as ended:
            command_line().parse_args([*name.split()[1:], "--help"])
        assert ended.value.code == 0
    settings = page_of("settings")
    assert all(f"| `{name}` |" in settings for name in KernelLLM.class_trait_names(config=True))
    codes = page_of("codes")
    named = {name for meanings in REASONS.values() for name in meanings}
    assert all(f"`{name}`" in codes for name in named | set(WARNINGS) | set(NOT_MADE))


# --- troubleshooting -----------------------------------------------------------------------------


def test_every_kind_of_error_has_its_section() -> None:
    sections = re.findall(r"^## `(\w+)`$", TROUBLE.read_text(), re.MULTILINE)
    assert set(sections) == set(errors.__all__)


def test_every_error_stands_in_the_one_tree() -> None:
    for path in (ROOT / "kernelllm_jupyter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = {getattr(base, "attr", getattr(base, "id", "")) for base in node.bases}
                if bases & set(errors.__all__):
                    assert path.name == "errors.py", f"{path}: {node.name}"
    drawn = re.findall(r"── (\w+) ", errors.__doc__ or "")
    assert set(drawn) == set(errors.__all__) - {"KernelLLMError"}


def texts_of_the_package() -> set[str]:
    return {
        " ".join(node.value.split())
        for path in (ROOT / "kernelllm_jupyter").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def quoted_messages() -> Iterator[str]:
    """The terms of the sections on errors that quote a message."""
    _, *sections = re.split(r"^## ", TROUBLE.read_text(), flags=re.MULTILINE)
    for section in sections:
        if re.match(r"`\w+`\n", section):
            yield from re.findall(r"^`([^`]+)`\n: ", section, re.MULTILINE)


def test_the_messages_that_are_explained_are_those_that_are_given() -> None:
    texts = texts_of_the_package()
    quoted = list(quoted_messages())
    assert len(quoted) > 25
    for message in quoted:
        for part in filter(None, (part.strip(" ().:,;") for part in message.split("…"))):
            assert any(part in text for text in texts), f"nothing says {part!r}"


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*FRONT_PAGES, *PAGES], ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for target in [*pictures, *re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)]:
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# --- the README in Chinese -----------------------------------------------------------------------


def shape_of(page: Path) -> dict[str, list[str]]:
    """What a translation must not change."""
    text = page.read_text()
    blocks = re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return {
        "code blocks": blocks,
        "code in sentences": sorted(re.findall(r"`[^`\n]+`", prose)),
        "links": sorted(re.findall(r"\]\(([^)]+)\)", prose)),
        "headings": re.findall(r"^#+", prose, re.MULTILINE),
        "rows of tables": [str(line.count("|")) for line in prose.splitlines() if "|" in line],
    }


def test_the_readme_in_chinese_has_the_same_commands_links_and_sections() -> None:
    english, chinese = map(shape_of, READMES)
    for what, found in english.items():
        assert chinese[what] == found, f"{what} differ between README.md and README.zh-CN.md"


def test_the_kernel_of_the_guide_is_correct() -> None:
    page = (DOCS / "how-to" / "own-kernel.md").read_text()
    files = dict(
        re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)```$", page, re.DOTALL | re.MULTILINE)
    )
    verdict = check(files["reference.py"], files["candidate.py"], device="cpu")
    assert verdict.verdict == "correct", verdict.reasons


# --- the map -------------------------------------------------------------------------------------


def test_the_map_names_every_part_of_the_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "kernelllm_jupyter"
    parts = {path.name for path in package.glob("*.py") if not path.stem.startswith("__")}
    parts |= {f"{path.parent.name}/" for path in package.glob("*/*.py")}
    missing = {part for part in parts if f"{part}`" not in text}
    assert not missing, f"CONTRIBUTING.md does not say what {', '.join(sorted(missing))} is"
