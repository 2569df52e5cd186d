"""What is installed, what is missing, and the remedy for each thing missing.

Looks only: it loads no model, imports neither torch nor transformers, and whatever is broken is
one of its findings. What takes time is looked at side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from kernelllm_jupyter.doctor.finding import Examined, findings_text
from kernelllm_jupyter.doctor.machine import examine_machine
from kernelllm_jupyter.doctor.models import examine_models, examine_profiles, examine_server
from kernelllm_jupyter.doctor.packages import examine_packages
from kernelllm_jupyter.doctor.places import examine_labextension, examine_records
from kernelllm_jupyter.doctor.settings import examine_environment, examine_settings_files

__all__ = ["Examined", "examine", "examine_profiles", "findings_text"]


def examine(
    model: str = "",
    *,
    settings: Sequence[Examined] = (),
    extension_in_use: bool | None = None,
) -> list[Examined]:
    """Everything, in the order in which a newcomer needs it.

    ``settings`` are the findings on those in force in the notebook that asks (without them the
    files are read that a notebook goes by), and ``extension_in_use`` tells whether the labextension
    is at work in it; None outside one. A server is asked for something only where ``model`` names
    it.
    """
    groups: dict[str, Callable[[], Iterable[Examined]]] = {
        "packages": examine_packages,
        "machine": examine_machine,
        "models": lambda: examine_models(model),
        "profiles": examine_profiles,
        "model server": lambda: examine_server(model),
        "labextension": lambda: [examine_labextension(extension_in_use)],
        "records": lambda: [examine_records()],
        "settings": lambda: settings or examine_settings_files(),
        "environment": examine_environment,
        "sandbox": _sandbox,
    }
    with ThreadPoolExecutor(len(groups)) as threads:
        found = threads.map(_shielded, groups, groups.values())
        return [one for group in found for one in group]


def _shielded(name: str, look: Callable[[], Iterable[Examined]]) -> Sequence[Examined]:
    """What was found; where looking fails, that is the finding."""
    found: list[Examined] = []
    try:
        found.extend(look())
    except Exception as error:
        # Whatever is broken here is what the user wants to know about.
        words = str(error).strip().partition("\n")[0]
        trouble = f"could not be looked at: {type(error).__name__}: {words}"
        remedy = "mend what the message names; kernelllm doctor --json has it for a report"
        found.append(Examined(name, "missing", trouble, remedy))
    return found


def _sandbox() -> Iterator[Examined]:
    from kernelllm_jupyter.verify.isolation.layers import active_layers, how_to_get

    active = active_layers()
    missing = how_to_get(active)
    found = ", ".join(active) or "process limits only"
    yield Examined("sandbox", "note" if missing else "ok", found, "; ".join(missing))
