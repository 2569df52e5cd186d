"""A model is addressed in the form that it was trained on."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.prompts import (
    KernelLLMProfile,
    Profile,
    profile_for,
    resolve_model,
)
from kernelllm_jupyter.values import Problem

SOURCE = """\
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return {k: v for k, v in {"a": x}.items()}["a"]


def get_inputs():
    return [torch.randn(4, 33)]


def get_init_inputs():
    return []
"""
PROBLEM = Problem(SOURCE, "Model")
RENAMED = Problem(
    '''\
import torch.nn as nn


class Model(nn.Module):
    """A base. Net builds on it."""


class Net(Model):
    def __init__(self):
        super(Net, self).__init__()
        self.Net = nn.Linear(2, 2)  # Net

    def forward(self, x):
        return self.Net(x) if isinstance(self, Net) else Model.forward(self, x)
''',
    "Net",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def profile(folder: Path) -> KernelLLMProfile:
    return KernelLLMProfile(str(folder))


def test_the_prompt_holds_an_instruction_an_example_and_the_module_verbatim(folder: Path) -> None:
    prompt = profile(folder).prompt(PROBLEM)
    assert SOURCE.strip() in prompt
    assert prompt.index("class ModelNew") < prompt.index(SOURCE.strip())
    after = prompt[prompt.index(SOURCE.strip()) + len(SOURCE.strip()) :]
    assert "architecture named Model" in after
    assert "ModelNew" in after
    assert "{" not in after


def test_the_example_in_the_prompt_is_real_code(folder: Path) -> None:
    blocks = profile(folder).prompt(PROBLEM).split("```\n")[1::2]
    assert len(blocks) == 3
    for block in blocks:
        ast.parse(block)
    assert "@triton.jit" in blocks[1]


def test_the_prompt_carries_no_bos(folder: Path) -> None:
    (folder / "run.py").write_text('PROMPT_TEMPLATE = """\n<|begin_of_text|>Go:\n{}\nNow."""\n')
    assert profile(folder).prompt(PROBLEM) == f"Go:\n{SOURCE.strip()}\nNow."


@pytest.mark.parametrize("field", ["{}", "{0}", "{code}"])
def test_a_checkpoints_own_template_is_used(folder: Path, field: str) -> None:
    script = f'"""A script."""\nimport torch\nPROMPT_TEMPLATE = "{{{{a}}}} {field} \\u00e9\\n"\n'
    (folder / "script.py").write_text(script, encoding="utf-8")
    assert profile(folder).prompt(PROBLEM) == f"{{a}} {SOURCE.strip()} é\n"


def test_a_checkpoints_script_is_read_and_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text(
        f"open({str(folder / 'ran')!r}, 'w')\nPROMPT_TEMPLATE = 'Do {{}}'\nraise SystemExit\n"
    )
    assert profile(folder).prompt(PROBLEM).startswith("Do ")
    assert not (folder / "ran").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "script",
    [
        "PROMPT_TEMPLATE = 'no place for code'\n",
        "PROMPT_TEMPLATE = 'two {} places {}'\n",
        "PROMPT_TEMPLATE = 'damaged {'\n",
        "PROMPT_TEMPLATE = 'Do ' + x\n",
        "PROMPT_TEMPLATE = 17\n",
        "OTHER = 'Do {}'\n",
        "def f(:\n",
        "\x00",
        "PROMPT_TEMPLATE = '{}' #" + "x" * 300_000,
    ],
    ids=[
        "no field",
        "two fields",
        "brace",
        "no literal",
        "number",
        "other",
        "syntax",
        "nul",
        "big",
    ],
)
def test_a_script_without_a_usable_template_changes_nothing(folder: Path, script: str) -> None:
    expected = profile(folder).prompt(PROBLEM)
    (folder / "script.py").write_text(script)
    assert profile(folder).prompt(PROBLEM) == expected


def test_a_template_that_arrives_later_is_found(folder: Path) -> None:
    """The script comes with the download, after the profile was made."""
    made = profile(folder)
    before = made.prompt(PROBLEM)
    (folder / "script.py").write_text("PROMPT_TEMPLATE = 'Do {}'\n")
    assert made.prompt(PROBLEM) != before


def test_a_class_of_another_name_is_called_model_in_the_prompt(folder: Path) -> None:
    (folder / "script.py").write_text("PROMPT_TEMPLATE = '{}'\n")
    prompt = profile(folder).prompt(RENAMED)
    assert "class ModelBase(nn.Module):" in prompt
    assert "class Model(ModelBase):" in prompt
    assert "super(Model, self)" in prompt
    assert "isinstance(self, Model) else ModelBase.forward" in prompt
    # Attributes are the keys of the state dict; comments and strings are the user's own words.
    assert "self.Net = nn.Linear(2, 2)  # Net" in prompt
    assert '"""A base. Net builds on it."""' in prompt


def test_settings_are_those_the_model_was_evaluated_with() -> None:
    several = KernelLLMProfile("facebook/KernelLLM").several
    assert (several.temperature, several.top_p, several.top_k) == (1.0, 0.97, 0)
    assert KernelLLMProfile("facebook/KernelLLM").single.temperature == 0


def test_the_reader_takes_the_code_out_of_the_reply(folder: Path) -> None:
    reader = profile(folder).reader(PROBLEM)
    reply = "Sure:\n```python\nimport torch\n```\nBye"
    assert reader.feed(reply) + reader.flush() == "import torch\n"


def test_models_find_their_profile(tmp_path: Path) -> None:
    from kernelllm_jupyter.starter import CHECKPOINT

    found: Profile = profile_for("facebook/KernelLLM")
    assert found.name == "kernelllm"
    assert profile_for("starter").name == "starter"
    assert profile_for(str(CHECKPOINT)).name == "starter"
    (tmp_path / "profile.json").write_text('{"profile": "starter"}')
    assert profile_for(str(tmp_path)).name == "starter"
    for other in ("[]", "{}", "no json", '{"profile": 3}'):
        (tmp_path / "profile.json").write_text(other)
        assert profile_for(str(tmp_path)).name == "kernelllm"
    assert resolve_model("starter") == str(CHECKPOINT)
    assert resolve_model("facebook/KernelLLM") == "facebook/KernelLLM"


def test_a_model_that_is_served_has_the_profile_of_its_name() -> None:
    from kernelllm_jupyter.starter import CHECKPOINT

    assert profile_for("http://localhost:8000#facebook/KernelLLM").name == "kernelllm"
    assert profile_for("https://host/v1#starter").name == "starter"
    assert profile_for(f"http://localhost:8000#{CHECKPOINT}").name == "starter"


@pytest.mark.parametrize("name", ["http://localhost:8000/v1", "https://host#", " "])
def test_what_names_no_model_is_refused_in_words(name: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT#NAME"):
        profile_for(name)
    if name == " ":
        with pytest.raises(UsageError, match="local folder"):
            resolve_model(name)
    else:
        with pytest.raises(UsageError, match=f"status -m {name}"):
            profile_for(name)
