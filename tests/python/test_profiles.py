"""Which profile a model gets, and those that users write into files."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from family_fixtures import LLAMA_TEMPLATE

from kernelllm_jupyter.doctor import examine_profiles
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.prompts import profile_for
from kernelllm_jupyter.prompts.files import read_family
from kernelllm_jupyter.prompts.hardware import hardware_line
from kernelllm_jupyter.values import Message, Problem

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "class Net(nn.Module):\n    def forward(self, x):\n        return {1: x}[1]\n"
PROBLEM = Problem(SOURCE, "Net")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's profiles, none at first."""
    monkeypatch.setenv("KERNELLLM_PROFILES", str(tmp_path / "profiles"))
    (tmp_path / "profiles").mkdir()
    return tmp_path / "profiles"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("facebook/KernelLLM", "kernelllm"),
        ("Qwen/Qwen2.5-32B-Instruct", "qwen2.5"),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2.5"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1"),
        ("Qwen/QwQ-32B", "reasoning"),
        ("https://api.openai.com/v1#gpt-4o", "gpt-4o"),
        ("http://localhost:8000#facebook/KernelLLM", "kernelllm"),
        ("http://localhost:11434#llama3.1:8b", "llama3"),
        ("someone/else", "instruct"),
    ],
)
def test_models_are_known_by_their_names(model: str, name: str) -> None:
    assert profile_for(model).name == name


def test_a_folder_says_more_than_its_name(tmp_path: Path) -> None:
    model = tmp_path / "Llama-3-base"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert profile_for(str(model)).name == "kernelllm"
    (model / "chat_template.jinja").write_text(LLAMA_TEMPLATE)
    assert profile_for(str(model)).name == "llama3"
    (model / "run.py").write_text("PROMPT_TEMPLATE = 'Do {}'\n")
    assert profile_for(str(model)).name == "kernelllm"
    (model / "profile.json").write_text('{"profile": "deepseek-r1"}')
    assert profile_for(str(model)).name == "deepseek-r1"


def test_a_chat_holds_the_module_verbatim_and_the_name_that_is_asked_for() -> None:
    prompt = profile_for("Qwen/Qwen2.5-7B-Instruct").prompt(PROBLEM)
    assert isinstance(prompt, tuple)
    assert [message.role for message in prompt] == ["system", "user"]
    asked = prompt[-1].content
    assert SOURCE.strip() in asked
    assert "`Net`" in asked
    assert "`ModelNew`" in asked
    assert not re.search(r"\{(source|class_name|hardware|example)\}", asked)


def test_r1_gets_no_system_turn() -> None:
    (message,) = profile_for("deepseek-ai/DeepSeek-R1").prompt(PROBLEM)
    assert isinstance(message, Message)
    assert message.role == "user"


# --- the GPU that is written for -----------------------------------------------------------------


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's tool that knows one GPU."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 9.0'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    # So that the answer for this machine is not the one that is remembered.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@pytest.mark.usefixtures("gpu")
def test_chats_name_the_gpu_and_trained_prompts_do_not(tmp_path: Path) -> None:
    def asked(model: str, target: str) -> str:
        prompt = profile_for(model, target=target).prompt(PROBLEM)
        return prompt if isinstance(prompt, str) else prompt[-1].content

    assert "Target: NVIDIA H100 80GB HBM3 (sm_90)\n" in asked("gpt-4o", "auto")
    assert "Target: AMD CDNA 3 (MI300), gfx942\n" in asked("gpt-4o", "gfx942")
    assert asked("facebook/KernelLLM", "auto") == asked("facebook/KernelLLM", "gfx942")
    assert "Target" not in asked("facebook/KernelLLM", "sm_90")


def test_without_a_gpu_there_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "no such")
    assert hardware_line("auto") == ""
    assert hardware_line("sm_999") == "Target: sm_999\n"


# --- files ---------------------------------------------------------------------------------------


def test_the_example_of_the_docs_is_a_profile(folder: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/profiles.md").read_text(), re.S)
    (folder / "codestral.toml").write_text(example)
    for model in ("mistralai/Codestral-22B-v0.1", "http://localhost:1#codestral:22b"):
        profile = profile_for(model, target="sm_90")
        assert profile.name == "codestral"
        assert (profile.single.temperature, profile.single.max_new_tokens) == (0.0, 6000)
        assert (profile.several.temperature, profile.several.top_p) == (0.7, 0.95)
        system, user = profile.prompt(PROBLEM)
        assert isinstance(system, Message)
        assert isinstance(user, Message)
        assert system.content == "You write Triton kernels and answer with code only."
        assert user.content.startswith("Target: NVIDIA Hopper")
        assert SOURCE.strip() in user.content
        reader = profile.reader(PROBLEM)
        reader.feed("import torch\n# End of file\n")
        assert reader.done
    assert profile_for("Qwen/Qwen2.5-7B-Instruct").name == "qwen2.5"


def test_the_tables_of_the_docs_name_what_there_is() -> None:
    from kernelllm_jupyter.prompts.families import FAMILIES, FIELDS
    from kernelllm_jupyter.prompts.files import KEYS

    text = (ROOT / "docs/profiles.md").read_text()
    for name in [*KEYS, *(f"{{{field}}}" for field in FIELDS), *(f.name for f in FAMILIES)]:
        assert f"`{name}`" in text


def test_a_raw_profile_sends_text(folder: Path) -> None:
    (folder / "mine.toml").write_text(
        'match = ["me/*"]\nform = "raw"\nprompt = "Do {{this}}: {source}#"\nname = "own"\n'
    )
    profile = profile_for("Me/Model")
    assert profile.name == "own"
    assert profile.prompt(PROBLEM) == f"Do {{this}}: {SOURCE.strip()}#"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("match = [", "no TOML"),
        ("", "`match` must be"),
        ('match = "x"', "`match` must be"),
        ("match = []", "`match` must be"),
        ('match = ["x"]\nname = 3', "`name` must be"),
        ('match = ["x"]\ntemperature = 1', "no key `temperature`; the keys are name, match"),
        ('match = ["x"]\nform = "talk"', '`form` must be "chat" or "raw"'),
        ('match = ["x"]\nform = "raw"', "needs a `prompt`"),
        ('match = ["x"]\nprompt = "{source}"', "`prompt` does not belong to the form 'chat'"),
        ('match = ["x"]\nuser = "Do."', "write {source} into it"),
        ('match = ["x"]\nuser = "{source} {code}"', "a field {code}; there are source, class"),
        ('match = ["x"]\nuser = "{source} {"', "brace"),
        ('match = ["x"]\nuser = "{source!r}"', "field"),
        ('match = ["x"]\nstop = "no list"', "`stop` must be a list of strings"),
        ('match = ["x"]\nstop = [""]', "`stop` must be"),
        ('match = ["x"]\nreasons = 1', "`reasons` must be true or false"),
        ('match = ["x"]\nthought = ["<t>"]', "`thought` must be two strings"),
        ('match = ["x"]\n[single]\ntemperature = -1', "`single.temperature` is -1; it must be 0"),
        ('match = ["x"]\n[several]\ntop_p = 0', "`several.top_p` is 0; it must be above 0"),
        ('match = ["x"]\n[single]\ntop_k = 1.5', "`single.top_k` is 1.5"),
        ('match = ["x"]\n[single]\nmax_new_tokens = true', "`single.max_new_tokens` is True"),
        ('match = ["x"]\n[single]\nseed = 1', "no `single.seed`"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(folder: Path, text: str, told: str) -> None:
    path = folder / "x.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        profile_for("x")
    assert told in str(raised.value)
    assert str(path) in str(raised.value)
    with pytest.raises(UsageError, match=re.escape(str(path))):
        read_family(path)
    # The bundled model has nothing to do with it.
    assert profile_for("starter").name == "starter"


def test_a_fault_in_a_file_for_other_models_disturbs_nobody(folder: Path) -> None:
    (folder / "x.toml").write_text('match = ["x"]\nnonsense = 1\n')
    assert profile_for("gpt-4o").name == "gpt-4o"


def test_doctor_lists_the_files_and_their_faults(folder: Path) -> None:
    (found,) = examine_profiles()
    assert found.state == "ok"
    assert str(folder) in found.remedy
    (folder / "a.toml").write_text('match = ["a*", "b"]\n')
    (folder / "b.toml").write_text('match = ["b"]\nnonsense = 1\n')
    good, bad = examine_profiles()
    assert (good.state, bad.state) == ("ok", "missing")
    assert "a*, b" in good.found
    assert "nonsense" in bad.remedy
