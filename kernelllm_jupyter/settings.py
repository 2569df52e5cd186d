"""What a user can set once, and which word counts where several are given.

One table: the options that have a default (:mod:`kernelllm_jupyter.options`) and what is no
option. The traitlets (``c.KernelLLM``), JupyterLab's settings editor (its schema) and the page in
the docs are made of it. Knows neither traitlets nor Jupyter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.options import OPTIONS, Default, Option

__all__ = [
    "EDITOR",
    "PLUGIN",
    "SETTINGS",
    "Said",
    "Setting",
    "Value",
    "from_editor",
    "in_force",
    "origins",
    "properties",
]

Value = bool | int | float | str | None
#: What one place says: values by their settings' names, each with the place in words.
Said = Mapping[str, tuple[Value, str]]

#: Under which JupyterLab keeps the settings.
PLUGIN = "kernelllm-jupyter:plugin"

#: Where a wrong value from JupyterLab's settings editor is to be looked for.
EDITOR = "JupyterLab's settings (Settings, Settings Editor, KernelLLM)"


@dataclass(frozen=True)
class Setting:
    """One setting: its name everywhere, what it takes, and its default."""

    name: str
    kind: type[bool] | type[int] | type[float] | type[str]
    limits: Default
    help: str
    choices: tuple[str, ...] = ()
    #: The option that goes before it, if any.
    option: str = ""

    @property
    def default(self) -> Value:
        return self.limits.value

    @property
    def takes(self) -> str:
        """In words, what a value has to be."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        bounds = [
            f"{words} {bound:g}"
            for words, bound in (
                ("of at least", self.limits.least),
                ("above", self.limits.above),
                ("of at most", self.limits.most),
            )
            if bound is not None
        ]
        return " ".join([names[self.kind], " and ".join(bounds)]).strip()

    def checked(self, value: Any, where: str) -> Value:
        """``value``; raises ``UsageError``, which names ``where`` it was set, if it is no good."""
        if self._fits(value):
            return value  # type: ignore[no-any-return]
        raise UsageError(f"{where}: {self.name} takes {self.takes}, not {value!r}.")

    def _fits(self, value: Any) -> bool:
        if value is None:
            return self.default is None
        kinds = (int, float) if self.kind is float else (self.kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and self.kind is not bool):
            return False
        if isinstance(value, str):
            return not self.choices or value in self.choices
        least, above, most = self.limits.least, self.limits.above, self.limits.most
        return (
            (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and value == value
        )

    def to_schema(self) -> dict[str, Any]:
        """As a property of a JSON schema, the dialect of JupyterLab's settings."""
        names = {bool: "boolean", int: "integer", float: "number", str: "string"}
        kind, nullable = names[self.kind], self.default is None
        schema: dict[str, Any] = {
            "title": self.limits.title,
            "description": self.help + (" Empty: the model's profile's." if nullable else ""),
            "type": [kind, "null"] if nullable else kind,
            "default": self.default,
            "enum": list(self.choices) or None,
            "minimum": self.limits.least,
            "exclusiveMinimum": self.limits.above,
            "maximum": self.limits.most,
        }
        given = {name: value for name, value in schema.items() if value is not None}
        return {**given, "default": self.default}


def _of_option(option: Option, default: Default) -> Setting:
    keywords = option.keywords
    is_flag = keywords.get("action") in ("store_true", "store_false")
    text = default.text or re.sub(r"\s*\((the )?default\b[^()]*\)$", "", keywords["help"])
    return Setting(
        name=option.name,
        kind=bool if is_flag else keywords.get("type", str),
        limits=default,
        help=f"{text[0].upper()}{text[1:]}.",
        choices=tuple(keywords.get("choices", ())),
        option=option.flags[-1],
    )


SETTINGS: tuple[Setting, ...] = (
    *(_of_option(option, option.default) for option in OPTIONS if option.default),
    Setting(
        "idle_minutes",
        float,
        Default("Idle time of a model", 30.0, above=0),
        "Minutes after which an unused model's process ends by itself.",
    ),
    Setting(
        "records",
        bool,
        Default("Keep records", True),
        "Keep every translation with its verdicts and timings in a file of your own.",
    ),
    Setting(
        "preload",
        bool,
        Default("Load early", False),
        "Load the model in the background as soon as the extension is loaded.",
    ),
)


def properties() -> dict[str, Any]:
    """The settings as the properties of JupyterLab's schema."""
    return {setting.name: setting.to_schema() for setting in SETTINGS}


def from_editor(sent: Any) -> dict[str, Value]:
    """What JupyterLab's settings editor decides, of what the front end sent.

    The editor writes all of its values once one is changed, so a value that stands at its default
    decides nothing. What this version does not know is left out: a front end may be newer.
    Raises ``UsageError`` for a value that cannot be.
    """
    if not isinstance(sent, Mapping):
        return {}
    found = {
        setting.name: setting.checked(sent[setting.name], EDITOR)
        for setting in SETTINGS
        if setting.name in sent
    }
    defaults = {setting.name: setting.default for setting in SETTINGS}
    return {name: value for name, value in found.items() if value != defaults[name]}


def origins(layers: Sequence[Said]) -> Iterator[tuple[Setting, Value, str]]:
    """Each setting with its value and who set it: the first of ``layers`` that departs from the
    default, and nobody, an empty text, where none does."""
    for setting in SETTINGS:
        said = (layer[setting.name] for layer in layers if setting.name in layer)
        found = (one for one in said if one[0] != setting.default)
        yield (setting, *next(found, (setting.default, "")))


def in_force(configured: Mapping[str, Value], editor: Mapping[str, Value]) -> dict[str, Any]:
    """What stands in for options that are not given: the editor's word, else ``c.KernelLLM``'s."""
    settings: dict[str, Any] = {**configured, **editor}
    settings["idle_s"] = settings.pop("idle_minutes") * 60
    return settings
