"""Values as JSON and back: dataclasses of any shape, today's or another version's.

Reading is tolerant, because a record may be older or newer than the code that reads it: fields
that are not known any more are passed over, those that are missing take their default.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from kernelllm_jupyter import values

__all__ = ["dumped", "from_plain", "is_left_out", "loaded", "scrubbed", "to_plain"]

T = TypeVar("T")

#: Characters of one text: a reply that went on and on is cut.
LARGEST_TEXT = 400_000

#: What must not be on disk, whoever typed it: credentials in a URL, and keys by the looks of them.
SECRETS = re.compile(
    r"(?<=://)[^\s/@:'\"]*:[^\s/@'\"]+(?=@)"
    r"|\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|AKIA[A-Z0-9]{16}|xox[abps]-[\w-]{10,}|glpat-[\w-]{20,}"
    r"|gsk_[A-Za-z0-9]{20,}|(?:xai|nvapi)-[\w-]{20,})"
    r"|(?i:(?<=bearer )[\w.~+/-]{16,}=*)"
)


def scrubbed(text: str) -> str:
    """``text`` without what looks like a key or a password in a URL; always encodable."""
    if not text.isascii():
        # Halves of characters that are written in two, from a JSON escape, are none in a file.
        text = text.encode("utf-8", "replace").decode()
    return SECRETS.sub("***", text)


def to_plain(value: Any) -> Any:
    """``value`` as lists, dicts, texts and numbers; texts scrubbed."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {scrubbed(str(key)): to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = scrubbed(str(value))
    return text if len(text) <= LARGEST_TEXT else text[:LARGEST_TEXT] + "\n… (cut)"


def dumped(value: Any) -> str:
    return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))


def loaded(kind: type[T], text: str) -> T:
    """The value of a dataclass that ``text`` holds; raises ``ValueError`` where it holds none."""
    return from_plain(kind, json.loads(text))


def from_plain(kind: type[T], plain: Any) -> T:
    """A ``kind`` made of ``plain``; raises ``ValueError`` where a needed field is missing."""
    if not isinstance(plain, Mapping):
        raise ValueError(f"not the fields of a {kind.__name__}")
    hints = _hints(kind)
    given = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.init and field.name in plain:
            given[field.name] = _as(hints.get(field.name, Any), plain[field.name])
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"not a {kind.__name__} of this version: {error}") from None


def _hints(kind: type) -> dict[str, Any]:
    """The types of the fields; none where one is named that is not there at run time."""
    try:
        # Values name one another, across modules that do not import one another at run time.
        return typing.get_type_hints(kind, localns=vars(values))
    except NameError:
        return {}


def is_left_out(plain: Any) -> bool:
    """Whether this stands in a record for something that is not kept."""
    return isinstance(plain, Mapping) and set(plain) == {"not_kept"}


def _as(hint: Any, plain: Any) -> Any:
    """``plain`` as ``hint`` says, or as it is where the hint says nothing of it."""
    if plain is None or is_left_out(plain):
        return None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        arms = [arm for arm in arguments if arm is not type(None)]
        return _as(arms[0], plain) if len(arms) == 1 else plain
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, plain)
    if isinstance(plain, list) and origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_as(arguments[0], one) for one in plain)
        kinds = arguments if len(arguments) == len(plain) else (Any,) * len(plain)
        return tuple(_as(one, value) for one, value in zip(kinds, plain, strict=True))
    if isinstance(plain, list) and origin is list:
        return [_as(arguments[0], one) for one in plain]
    if isinstance(plain, Mapping) and arguments and len(arguments) == 2:
        return {key: _as(arguments[1], value) for key, value in plain.items()}
    return plain
