"""Profiles that a user adds: one TOML file each, in the configuration folder.

See ``docs/profiles.md`` for the form. A file is read when a profile is chosen, so a change counts
at once. What is wrong in one is said with its name; other models are not disturbed by it.
"""

from __future__ import annotations

import os
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.prompts.families import FIELDS, INSTRUCT, REASONED, Family
from kernelllm_jupyter.values import Sampling

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["profile_files", "profiles_folder", "read_family", "user_families"]

#: Each key with its type in words, as errors name it.
KEYS = {
    "name": "a string",
    "match": "a list of patterns",
    "form": '"chat" or "raw"',
    "system": "a string",
    "user": "a string",
    "prompt": "a string",
    "stop": "a list of strings",
    "reasons": "true or false",
    "thought": "two strings, the mark that opens the reasoning and the one that closes it",
    "single": "a table",
    "several": "a table",
}
NUMBERS: Mapping[str, tuple[type, float, float, str]] = {
    "temperature": (float, 0.0, 10.0, "0 (greedy) to 10"),
    "top_p": (float, 1e-9, 1.0, "above 0 and at most 1"),
    "top_k": (int, 0, 1_000_000, "a whole number from 0 (off)"),
    "max_new_tokens": (int, 1, 10_000_000, "a whole number from 1"),
}


def profiles_folder() -> Path:
    """Where a user's profile files are: ``KERNELLLM_PROFILES``, else in the platform's place."""
    named = os.environ.get("KERNELLLM_PROFILES")
    if named:
        return Path(os.path.expanduser(named))
    from platformdirs import user_config_path

    try:
        return user_config_path("kernelllm", appauthor=False) / "profiles"
    except RuntimeError:  # This user has no home folder, and so no profiles.
        return Path("~", ".config", "kernelllm", "profiles")


def profile_files() -> list[Path]:
    """The profile files there are, in the order in which they are tried."""
    try:
        return sorted(profiles_folder().glob("*.toml"))
    except OSError:
        return []


def user_families(model: str | None) -> Iterator[Family]:
    """The families that the user's files describe; with a ``model``, those that cover its name.

    Raises ``UsageError`` for a file that is no good, unless it can be told to be for others.
    """
    for path in profile_files():
        given = _parsed(path)
        if model is None or _match(given, path).covers(model):
            yield _family(given, path)


def read_family(path: Path) -> Family:
    """The family that a file describes; raises ``UsageError`` with all there is to know."""
    return _family(_parsed(path), path)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _bad(path, f"it cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(path, f"it is no TOML: {error}") from None


def _match(given: Mapping[str, Any], path: Path) -> Family:
    """A family that knows its name and its models only."""
    name = given.get("name", path.stem)
    patterns = given.get("match")
    if not isinstance(name, str) or not name.strip():
        raise _bad(path, "`name` must be a string")
    if not _strings(patterns) or not patterns:
        raise _bad(
            path, '`match` must be a list of patterns of model names, as ["*codestral*", "me/*"]'
        )
    return Family(name, tuple(pattern.casefold() for pattern in patterns), file=str(path))


def _family(given: Mapping[str, Any], path: Path) -> Family:
    family = _match(given, path)
    for key in given:
        if key not in KEYS:
            raise _bad(path, f"there is no key `{key}`; the keys are {', '.join(KEYS)}")
    form = given.get("form", "chat")
    if form not in ("chat", "raw"):
        raise _wrong(path, "form")
    reasons = given.get("reasons", False)
    if not isinstance(reasons, bool):
        raise _wrong(path, "reasons")
    stop = given.get("stop", [])
    if not _strings(stop) or "" in stop:
        raise _wrong(path, "stop")
    thought = given.get("thought", list(INSTRUCT.thought))
    if not _strings(thought) or len(thought) != 2 or not all(mark.strip() for mark in thought):
        raise _wrong(path, "thought")
    system, user = _words(given, form, path)
    single = REASONED if reasons else INSTRUCT.single
    several = REASONED if reasons else INSTRUCT.several
    return replace(
        family,
        form=form,
        system=system,
        user=user,
        reasons=reasons,
        stop=tuple(stop),
        thought=(thought[0], thought[1]),
        single=_sampling(given, "single", single, path),
        several=_sampling(given, "several", several, path),
    )


def _words(given: Mapping[str, Any], form: str, path: Path) -> tuple[str, str]:
    """The system turn and the user's, or none and the whole prompt."""
    others = ("system", "user") if form == "raw" else ("prompt",)
    for key in others:
        if key in given:
            raise _bad(path, f"`{key}` does not belong to the form {form!r}")
    key = "prompt" if form == "raw" else "user"
    default = None if form == "raw" else INSTRUCT.user
    user = given.get(key, default)
    if user is None:
        raise _bad(path, "the form 'raw' needs a `prompt`")
    system = given.get("system", "" if form == "raw" else INSTRUCT.system)
    for name, template in (("system", system), (key, user)):
        if not isinstance(template, str):
            raise _wrong(path, name)
        fields = _fields(template, name, path)
        if name == key and "source" not in fields:
            raise _bad(path, f"`{name}` has no place for the module: write {{source}} into it")
    return system, user


def _fields(template: str, name: str, path: Path) -> set[str]:
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise _bad(
            path, f"`{name}` cannot be read ({error}): a brace that is meant so is doubled, {{{{"
        ) from None
    fields = set()
    for _, field, form, conversion in pieces:
        if field is None:
            continue
        if field not in FIELDS or form or conversion:
            raise _bad(
                path,
                f"`{name}` has a field {{{field}}}; there are {', '.join(FIELDS)}, and a brace "
                "that is meant so is doubled: {{",
            )
        fields.add(field)
    return fields


def _sampling(given: Mapping[str, Any], key: str, default: Sampling, path: Path) -> Sampling:
    table = given.get(key, {})
    if not isinstance(table, dict):
        raise _wrong(path, key)
    for name, value in table.items():
        if name not in NUMBERS:
            raise _bad(path, f"there is no `{key}.{name}`; there are {', '.join(NUMBERS)}")
        kind, least, most, wanted = NUMBERS[name]
        kinds = (int, float) if kind is float else (int,)
        # A bool is an int in Python, and a number in nobody's mind.
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            raise _bad(path, f"`{key}.{name}` is {value!r}; it must be {wanted}")
    return replace(default, **table)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _wrong(path: Path, key: str) -> UsageError:
    return _bad(path, f"`{key}` must be {KEYS[key]}")


def _bad(path: Path, why: str) -> UsageError:
    return UsageError(f"The profile in {path} cannot be used: {why}. Mend or remove the file.")
