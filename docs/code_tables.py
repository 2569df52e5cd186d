"""The tables of the reference pages, read from the code that they describe.

A page says ``<!-- code: options -->`` where a table belongs; Sphinx gets the page with the table in
its place (:func:`setup`), so that no page can say something else than the code does. Every function
here returns Markdown and knows nothing of Sphinx.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelllm_jupyter.cli import command_line
from kernelllm_jupyter.notebook.magic import COMMANDS
from kernelllm_jupyter.options import OPTIONS
from kernelllm_jupyter.prompts.families import FAMILIES, FIELDS
from kernelllm_jupyter.prompts.kernelllm import KernelLLMProfile
from kernelllm_jupyter.repl.session import HELP
from kernelllm_jupyter.settings import SETTINGS
from kernelllm_jupyter.starter import StarterProfile
from kernelllm_jupyter.values import Sampling
from kernelllm_jupyter.verify.codes import NOT_MADE, REASONS, WARNINGS
from kernelllm_jupyter.verify.timing.gpus import GPUS, Gpu

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ROOT / "kernelllm_jupyter" / "schemas"
FRONT_END = ROOT / "labextension" / "schema" / "plugin.json"
MARK = re.compile(r"^<!-- code: ([a-z-]+) -->$", re.MULTILINE)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what stands in a cell is Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def plain(text: str) -> str:
    """Words of a help text as Markdown that shows them as they are."""
    return re.sub(r"([\\*_<>\[\]])", r"\\\1", text)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# --- options and commands ------------------------------------------------------------------------


def options() -> str:
    """Every option of ``%%kernelllm``."""
    rows = [
        (_flags(option.flags, option.keywords), plain(option.keywords.get("help", "")))
        for option in OPTIONS
    ]
    return table(("option", "meaning"), rows)


def _flags(flags: Sequence[str], keywords: Mapping[str, Any]) -> str:
    value = keywords.get("metavar") or ""
    if keywords.get("choices"):
        value = "|".join(keywords["choices"])
    shown = [*flags[:-1], f"{flags[-1]} {value}".strip()]
    return ", ".join(code(flag) for flag in shown)


def notebook_commands() -> str:
    """Every word that ``%kernelllm`` takes."""
    return table(
        ("command", "what it does"),
        [(code(f"%kernelllm {name}"), plain(what)) for name, what in COMMANDS.items()],
    )


def commands() -> str:
    """A section for every command of ``kernelllm``, from its own argument parser."""
    subparsers = next(
        action
        for action in command_line()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return "\n\n".join(_command(parser) for parser in subparsers.choices.values())


def _command(parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.dest != "help"]
    names = [_positional(action) for action in actions if not action.option_strings]
    usage = " ".join([parser.prog, *names, "[OPTIONS]" if len(names) < len(actions) else ""])
    rows = [(_argument(action), _meaning(action)) for action in actions]
    section = f"## {code(parser.prog)}\n\n{plain(parser.description or '')}\n\n"
    section += f"```text\n{usage.strip()}\n```\n"
    return section + ("\n" + table(("argument", "meaning"), rows) if rows else "")


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return f"[{name}]" if action.nargs == "?" else name


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return code(str(action.metavar or action.dest))
    takes_value = action.nargs != 0
    metavar = action.metavar or (action.dest.upper() if takes_value else "")
    return _flags(action.option_strings, {"metavar": metavar, "choices": action.choices})


def _meaning(action: argparse.Action) -> str:
    text = plain(action.help or "")
    default = None if action.nargs == 0 else action.default
    if default in (None, False, argparse.SUPPRESS) or "default" in text or str(default) in text:
        return text
    return f"{text} (default: {code(str(default))})".strip()


def session() -> str:
    """What ``:help`` says in ``kernelllm repl``."""
    return f"```text\n{textwrap.dedent(HELP).strip()}\n```"


# --- settings ------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting: of ``c.KernelLLM`` and of JupyterLab's editor alike."""
    rows = []
    for each in SETTINGS:
        default = "the profile's" if each.default is None else code(repr(each.default))
        option = code(each.option) if each.option else ""
        rows.append((code(each.name), option, each.takes, default, plain(each.help)))
    return table(("setting", "option", "takes", "default", "meaning"), rows)


def front_end() -> str:
    """Where JupyterLab offers the extension's commands, and by which keys."""
    schema = json.loads(FRONT_END.read_text(encoding="utf-8"))
    rows = [
        (f"toolbar of the {place.lower()}", code(item["command"]), "")
        for place, items in schema.get("jupyter.lab.toolbars", {}).items()
        for item in items
    ]
    rows += [
        ("context menu", code(item["command"]), "")
        for item in schema.get("jupyter.lab.menus", {}).get("context", ())
    ]
    rows += [
        ("keys", code(item["command"]), ", ".join(_keys(keys) for keys in item["keys"]))
        for item in schema.get("jupyter.lab.shortcuts", ())
    ]
    return table(("where", "command", "keys"), rows)


def _keys(keys: str) -> str:
    return "+".join("Ctrl (⌘)" if key == "Accel" else key for key in keys.split())


# --- verdicts ------------------------------------------------------------------------------------


def codes() -> str:
    """A table for every verdict, and those of warnings and of checks not made."""
    parts = []
    for verdict, meanings in REASONS.items():
        rows = [(code(name), meaning) for name, meaning in meanings.items()]
        if verdict == "crashed":
            rows.append(("`sigsegv`, …", "The signal that ended the process."))
        parts.append(f"## {code(verdict)}\n\n" + table(("code", "meaning"), rows))
    for heading, meanings in (("Warnings", WARNINGS), ("Checks not made", NOT_MADE)):
        rows = [(code(name), meaning) for name, meaning in meanings.items()]
        parts.append(f"## {heading}\n\n" + table(("code", "meaning"), rows))
    return "\n\n".join(parts)


def schema() -> str:
    """The objects of the JSON schema of verdicts, key by key."""
    return _objects(_definitions("verdict"))


def timing_schema() -> str:
    """Those of timings; what verdicts have as well is described there, on the same page."""
    return _objects(_definitions("timing"), leave_out=_definitions("verdict"))


def _definitions(name: str) -> dict[str, Any]:
    text = (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["$defs"])


def _objects(definitions: Mapping[str, Any], leave_out: Mapping[str, Any] | None = None) -> str:
    parts = []

    def kind(item: Mapping[str, Any]) -> str:
        return _json_type(item, definitions)

    for name, item in definitions.items():
        if "properties" not in item or name in (leave_out or {}):
            continue
        required = item.get("required", ())
        rows = [
            (code(key), kind(value), "yes" if key in required else "no", _described(value))
            for key, value in item["properties"].items()
        ]
        heading = _heading(name, item)
        parts.append(
            f"## {heading}\n\n{_described(item)}\n\n"
            + table(("key", "type", "always there", "meaning"), rows)
        )
    return "\n\n".join(parts)


def _described(item: Mapping[str, Any]) -> str:
    return str(item.get("description", ""))


def _heading(name: str, item: Mapping[str, Any]) -> str:
    return str(item.get("title", name.replace("_", " ").capitalize()))


def _json_type(item: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a value may be, in words; a link where that has a table of its own."""
    if "$ref" in item:
        name = str(item["$ref"]).rsplit("/", 1)[-1]
        if "properties" not in definitions[name]:
            return _json_type(definitions[name], definitions)
        heading = _heading(name, definitions[name])
        return f"[{heading}](#{heading.lower().replace(' ', '-')})"
    if "const" in item:
        return code(json.dumps(item["const"]))
    if "enum" in item:
        return ", ".join(code(json.dumps(value)) for value in item["enum"])
    if "anyOf" in item:
        return " or ".join(_json_type(part, definitions) for part in item["anyOf"])
    kinds = item.get("type", "any")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "items" in item and "array" in words:
        words = words.replace("array", f"array of {_json_type(item['items'], definitions)}")
    return words


# --- GPUs ----------------------------------------------------------------------------------------


def gpus() -> str:
    """The published rates of GPUs; those that no copy of the document confirmed have a mark."""

    def rate(gpu: Gpu, dtype: str) -> str:
        found = gpu.tflop_per_s.get(dtype)
        return "" if found is None else f"{found:g}{' ?' if dtype in gpu.unconfirmed else ''}"

    dtypes = ("float16", "bfloat16", "tf32", "float32")
    rows = [
        (
            code(gpu.name),
            f"{gpu.bandwidth_gb_per_s:,g}",
            *(rate(gpu, dtype) for dtype in dtypes),
            gpu.source,
        )
        for gpu in GPUS
    ]
    return table(("GPU", "GB/s", *(f"TFLOP/s in {dtype}" for dtype in dtypes), "source"), rows)


# --- models --------------------------------------------------------------------------------------


def profiles() -> str:
    """The profiles that are built in, in the order in which they are tried."""
    rows = [
        (code("starter"), "the bundled model", "its own short form", *_samplings(StarterProfile)),
        (
            code("kernelllm"),
            "`facebook/KernelLLM`, checkpoints with a `PROMPT_TEMPLATE`, checkpoints without a "
            "chat template",
            "text to go on with",
            *_samplings(KernelLLMProfile),
        ),
    ]
    for family in FAMILIES:
        form = "chat" if family.form == "chat" else "text to go on with"
        names = ", ".join(code(pattern) for pattern in family.match)
        rows.append((code(family.name), names, form, *_samplings(family)))
    return table(("profile", "names of models", "prompt", "one candidate", "several"), rows)


def _samplings(profile: Any) -> tuple[str, str]:
    return _sampling(profile.single), _sampling(profile.several)


def _sampling(sampling: Sampling) -> str:
    if sampling.temperature == 0:
        words = "greedy"
    else:
        words = f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}"
        if sampling.top_k:
            words += f", top-k {sampling.top_k}"
    return f"{words}, up to {sampling.max_new_tokens:,} tokens"


def fields() -> str:
    """What a template of a profile may name."""
    return table(
        ("field", "stands for"),
        [(code(f"{{{name}}}"), plain(what)) for name, what in FIELDS.items()],
    )


# --- installing ----------------------------------------------------------------------------------

#: What an extra is for; those that only developers need are not listed.
EXTRAS = {
    "lab": "JupyterLab itself",
    "notebook": "Notebook 7 itself",
    "keyring": "keys of model servers in the system's keyring",
    "quantization": "`--quantization 8bit` and `4bit`",
    "gguf": "models in GGUF files",
    "gpu": "benchmarks that see what other processes do on an NVIDIA GPU",
    "serve": "`kernelllm serve` without vLLM",
}
NOT_FOR_USERS = {"test", "dev", "docs"}


def extras() -> str:
    """The extras of ``pyproject.toml``; one that has no meaning above raises ``KeyError``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table(
        ("extra", "for", "installs"),
        [
            (code(name), EXTRAS[name], ", ".join(code(item) for item in needed))
            for name, needed in project["optional-dependencies"].items()
            if name not in NOT_FOR_USERS
        ],
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "options": options,
    "notebook-commands": notebook_commands,
    "commands": commands,
    "session": session,
    "settings": settings,
    "front-end": front_end,
    "codes": codes,
    "schema": schema,
    "timing-schema": timing_schema,
    "gpus": gpus,
    "extras": extras,
    "profiles": profiles,
    "fields": fields,
}


def filled(page: str) -> str:
    """The page with every table in its place; an unknown name raises ``KeyError``."""
    return MARK.sub(lambda mark: TABLES[mark[1]](), page)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""

    def fill(_: Any, name: str, source: list[str]) -> None:
        source[0] = filled(source[0])

    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
