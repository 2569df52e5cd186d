"""Settings: one table, published everywhere; an option, the editor, traitlets, in this order."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyter_session import JupyterSession, Ran
from traitlets import TraitError
from traitlets.config import Config

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.notebook.settings import KernelLLM, configured
from kernelllm_jupyter.options import OPTIONS, request_from
from kernelllm_jupyter.settings import SETTINGS, from_editor, in_force, origins

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def test_the_editor_s_schema_lists_every_setting() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "settings.py"), "--check"]
    ran = subprocess.run(tool, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_traitlets_are_the_table() -> None:
    traits = KernelLLM.class_traits(config=True)
    assert {name: trait.default_value for name, trait in traits.items()} == DEFAULTS


def test_a_setting_s_default_is_what_an_option_left_out_gives() -> None:
    names = [option.name for option in OPTIONS]
    nothing = argparse.Namespace(**dict.fromkeys(names))
    from_settings = request_from(nothing, in_force(DEFAULTS, {}))
    assert from_settings.idle_s == 1800.0
    assert replace(from_settings, idle_s=None) == request_from(nothing)


def test_the_editor_goes_before_traitlets_unless_it_stands_at_its_default() -> None:
    editor = from_editor({**DEFAULTS, "k": 4, "check": True, "idle_minutes": 5})
    assert editor == {"k": 4, "idle_minutes": 5}
    settings = in_force({**DEFAULTS, "k": 2, "check": False, "repair": 3}, editor)
    assert (settings["k"], settings["check"], settings["repair"]) == (4, False, 3)
    assert settings["idle_s"] == 300
    layers = [
        {name: (value, "settings editor") for name, value in editor.items()},
        {name: (value, "c.KernelLLM") for name, value in {**DEFAULTS, "k": 2, "repair": 3}.items()},
    ]
    said = {setting.name: (value, origin) for setting, value, origin in origins(layers)}
    assert list(said) == list(DEFAULTS)
    assert {name: one for name, one in said.items() if one[1]} == {
        "k": (4, "settings editor"),
        "repair": (3, "c.KernelLLM"),
        "idle_minutes": (5, "settings editor"),
    }


@pytest.mark.parametrize("sent", [None, 7, [], {}, {"from_a_later_version": 1}])
def test_an_editor_that_says_nothing_decides_nothing(sent: Any) -> None:
    assert from_editor(sent) == {}


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("k", 0, "a whole number of at least 1, not 0"),
        ("k", True, "a whole number of at least 1, not True"),
        ("k", None, "a whole number of at least 1, not None"),
        ("model", 7, "text, not 7"),
        ("best", "slowest", "one of first, fastest, not 'slowest'"),
        ("check", "yes", "true or false, not 'yes'"),
        ("timeout", 0, "a number above 0, not 0"),
        ("timeout", float("nan"), "a number above 0, not nan"),
        ("top_p", 1.5, "a number above 0 and of at most 1, not 1.5"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(name: str, value: Any, takes: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_editor({name: value})
    assert "Settings Editor, KernelLLM" in str(caught.value)
    assert f"{name} takes {takes}" in str(caught.value)
    with pytest.raises(TraitError, match=name):
        setattr(KernelLLM(), name, value)


def test_a_wrong_value_in_the_configuration_says_where_to_mend_it() -> None:
    class Shell(KernelLLM):
        """Anything that carries a configuration."""

    shell = Shell()
    shell.config = Config()
    shell.config["KernelLLM"] = Config(repair=-1)
    with pytest.raises(UsageError, match=r"repair takes .* at least 0, not -1.*ipython_config\.py"):
        configured(shell)


# --- in a Jupyter kernel -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


def translate(session: JupyterSession, module: str, options: str, **settings: Any) -> Ran:
    metadata = {"kernelllm": {"settings": {**DEFAULTS, **settings}}}
    ran = session.run(f"%%kernelllm {options}\n{module}", metadata=metadata)
    # Without the protocol's version, settings alone do not make a cell that can be written.
    assert not ran.stream_opened
    return ran


def test_each_translation_goes_by_the_settings_of_its_own_moment(
    session: JupyterSession, small_module: str
) -> None:
    count = "(len(_kernelllm.candidates), _kernelllm.verdict is None)"
    session.run("%config KernelLLM.check = False\n%config KernelLLM.max_new_tokens = 20")
    for options, settings, expected in (
        ("", {}, (1, True)),
        ("", {"k": 3}, (3, True)),
        ("-k 2", {"k": 3}, (2, True)),
        ("--check --max-new-tokens 600", {"k": 1}, (1, False)),
    ):
        ran = translate(session, small_module, options, **settings)
        assert not ran.failed, ran.error
        assert session.value(count) == expected, (options, settings)


def test_a_wrong_setting_is_one_clear_message(session: JupyterSession, small_module: str) -> None:
    ran = translate(session, small_module, "", k=0)
    assert ran.failed
    assert "k takes a whole number of at least 1, not 0" in ran.error
    assert "Traceback" not in ran.error
    # The doctor does not fall ill of it.
    metadata = {"kernelllm": {"v": 1, "settings": {"k": 0}}, "cellId": "a"}
    told = session.run("%kernelllm doctor", metadata=metadata).printed
    assert "✗ settings" in told
    assert "at least 1, not 0" in told
    assert ", in use here" in told
    ran = session.run("%config KernelLLM.timeout = 0")
    assert "timeout takes a number above 0" in ran.printed
    assert session.value("get_ipython().run_line_magic('config', 'KernelLLM.timeout')") == 60.0
