"""What a user can set once: ``c.KernelLLM.model = …``, ``%config KernelLLM``, or in JupyterLab.

The table is :mod:`kernelllm_jupyter.settings`; here it becomes traitlets, and meets what the
front end's settings editor says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Enum, Float, Int, TraitError, TraitType, Unicode, validate
from traitlets.config import Configurable

from kernelllm_jupyter.doctor.finding import Examined
from kernelllm_jupyter.doctor.settings import examine_settings
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.notebook.cell import sent_settings
from kernelllm_jupyter.settings import SETTINGS, Setting, from_editor, in_force

__all__ = ["KernelLLM", "configured", "of_shell"]

TYPES: dict[type, type[TraitType[Any, Any]]] = {
    bool: Bool,
    int: Int,
    float: Float,
    str: Unicode,
}


def _trait(setting: Setting) -> TraitType[Any, Any]:
    text = setting.help
    if setting.default is None:
        text = f"{text} None is the model's profile's own."
    trait: TraitType[Any, Any]
    if setting.choices:
        trait = Enum(setting.choices, setting.default, help=text)
    else:
        nullable = setting.default is None
        trait = TYPES[setting.kind](setting.default, allow_none=nullable, help=text)
    return trait.tag(config=True)


class KernelLLM(Configurable):
    """Defaults of ``%%kernelllm``; an option given in a cell goes before them.

    Named after the product because IPython addresses its configuration by class name.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    vars().update({setting.name: _trait(setting) for setting in SETTINGS})

    @validate(*(setting.name for setting in SETTINGS))
    def _in_range(self, proposal: Any) -> Any:
        [setting] = [one for one in SETTINGS if one.name == proposal["trait"].name]
        try:
            return setting.checked(proposal["value"], "c.KernelLLM")
        except UsageError as error:
            raise TraitError(str(error)) from None

    def configured(self) -> dict[str, Any]:
        """The settings by their names, without the editor's."""
        return {setting.name: getattr(self, setting.name) for setting in SETTINGS}

    def in_force(self) -> dict[str, Any]:
        """What stands in for the options that the running cell does not give.

        Raises ``UsageError`` where the front end's settings editor says what cannot be.
        """
        return in_force(self.configured(), from_editor(sent_settings()))

    def examined(self) -> list[Examined]:
        """What ``%kernelllm doctor`` says of the settings."""
        configured = {name: (value, "c.KernelLLM") for name, value in self.configured().items()}
        try:
            sent = from_editor(sent_settings())
        except UsageError as error:
            wrong = Examined("settings", "missing", "one of them cannot be", str(error))
            return [wrong, *examine_settings([configured])]
        editor = {name: (value, "settings editor") for name, value in sent.items()}
        return list(examine_settings([editor, configured]))


def configured(shell: Any) -> KernelLLM:
    """A shell's settings; raises ``UsageError`` where its configuration says what cannot be."""
    try:
        return KernelLLM(parent=shell)
    except TraitError as error:
        raise UsageError(
            f"{error} Correct it in ipython_config.py (or on the command line) and start the "
            "Jupyter kernel again."
        ) from None


def of_shell(shell: Any) -> KernelLLM | None:
    """The settings of a shell that has our extension loaded."""
    found = (one for one in shell.configurables if isinstance(one, KernelLLM))
    return next(found, None)
