"""The doctor: whatever is broken is a finding with its remedy, and never the end of the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelllm_jupyter.doctor.finding import Examined
from kernelllm_jupyter.doctor.models import examine_models
from kernelllm_jupyter.doctor.packages import examine_packages
from kernelllm_jupyter.doctor.places import examine_extension_in, examine_folder
from kernelllm_jupyter.doctor.probe import probe
from kernelllm_jupyter.doctor.settings import examine_environment, examine_settings_files

#: A machine on its worst day: torch is broken, ipywidgets missing, triton and the home a wreck.
WRECK = """
import importlib.metadata, sys
hidden = importlib.metadata.Distribution.from_name.__func__
def from_name(cls, name):
    if name == "ipywidgets":
        raise importlib.metadata.PackageNotFoundError(name)
    return hidden(cls, name)
importlib.metadata.Distribution.from_name = classmethod(from_name)
"""
REPORT = """
import sys
from kernelllm_jupyter.cli import main
status = main(["doctor", "--json", "-m", "facebook/KernelLLM"])
print([name for name in ("torch", "triton", "transformers") if name in sys.modules], status)
"""


def test_a_wrecked_installation_gets_a_line_for_each_fault(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WRECK)
    for package, error in (
        ("torch", "OSError('libtorch.so: not found')"),
        ("triton", "SystemError"),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"raise {error}")
    nowhere = "/dev/null/home"
    unset = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME", "KERNELLLM_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["HOME"] = nowhere
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", REPORT], capture_output=True, text=True, env=environment, check=True
    )
    printed, imported = ran.stdout.splitlines()
    assert imported == "[] 1", (
        "it imports nothing heavy, and its status says that something is missing"
    )
    findings = json.loads(printed)["findings"]
    found = {one["name"]: one for one in findings if one["state"] == "missing"}
    assert "libtorch.so: not found" in found["import torch"]["found"]
    assert "SystemError" in found["import triton"]["found"]
    assert "ptxas" in found["Triton's compiler"]["found"]
    assert found["ipywidgets"]["remedy"] == "pip install 'ipywidgets>=8.1'"
    for folder in ("model cache", "records"):
        assert "/dev/null cannot be written to" in found[folder]["found"]
    assert all(one["remedy"] for one in findings if one["state"] != "ok")
    # What is well is still told.
    assert {"python", "starter model", "sandbox", "labextension", "settings"} <= {
        one["name"] for one in findings
    }


def test_a_version_that_is_too_old_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.5.1+cu121", "triton": "3.10.0", "ipywidgets": None}
    monkeypatch.setattr(
        "kernelllm_jupyter.doctor.packages.version", lambda name: versions.get(name, "100.0")
    )
    states = {one.name: one for one in examine_packages()}
    assert states["torch"].state == "missing"
    assert "2.6 or later is needed" in states["torch"].found
    assert states["triton"].state == "ok"
    assert states["ipywidgets"].state == "missing"


def test_a_probe_takes_no_module_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    assert probe("import random; print('noise\\n[1]')", "it", 60) == ([1], "")
    assert probe("import os; os._exit(3)", "it", 60) == (None, "it ends Python (exit status 3)")
    assert probe("import time; time.sleep(60)", "it", 0.1) == (None, "it takes more than 0 s")


# --- the labextension --------------------------------------------------------------------------


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    from importlib.metadata import version

    folder = tmp_path / "labextensions" / "kernelllm-jupyter"
    (folder / "static").mkdir(parents=True)
    (folder / "static" / "entry.js").write_text("")
    package = {
        "version": version("kernelllm-jupyter"),
        "jupyterlab": {"_build": {"load": "static/entry.js"}},
    }
    (folder / "package.json").write_text(json.dumps(package))
    return folder


def configured(place: Path, disabled: Any, file: str = "page_config.json") -> Path:
    path = place / "labconfig" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"disabledExtensions": disabled}))
    return place


def test_an_extension_that_is_whole_and_enabled_is_well(extension: Path, tmp_path: Path) -> None:
    enabled = configured(tmp_path, {"another": True, "kernelllm-jupyter": False})
    assert examine_extension_in(extension, [enabled], None).state == "ok"
    assert examine_extension_in(extension, [], True).found.endswith("in use here")
    absent = examine_extension_in(extension, [], False)
    assert absent.state == "note"
    assert "not in use in this notebook" in absent.found


@pytest.mark.parametrize(
    "disabled",
    [
        {"kernelllm-jupyter": True},
        {"kernelllm-jupyter:plugin": True},
        ["kernelllm-jupyter"],
    ],
)
def test_a_disabled_extension_is_told_with_the_way_to_enable_it(
    extension: Path, tmp_path: Path, disabled: Any
) -> None:
    weaker = configured(tmp_path / "system", {"kernelllm-jupyter": False})
    found = examine_extension_in(extension, [configured(tmp_path / "user", disabled), weaker], None)
    assert found.found.startswith("disabled")
    assert "jupyter labextension enable kernelllm-jupyter" in found.remedy
    # The user's own word is stronger than the system's.
    assert examine_extension_in(extension, [weaker, tmp_path / "user"], None).state == "ok"


def test_an_extension_of_another_version_or_without_its_bundle_is_missing(extension: Path) -> None:
    package = extension / "package.json"
    package.write_text(json.dumps({**json.loads(package.read_text()), "version": "0.0.1"}))
    other = examine_extension_in(extension, [], True)
    assert other.state == "missing"
    assert "0.0.1" in other.found
    (extension / "static" / "entry.js").unlink()
    assert "not whole" in examine_extension_in(extension, [], None).found
    package.write_text("{")
    assert examine_extension_in(extension, [], None).state == "missing"


# --- models ------------------------------------------------------------------------------------


def model_of(name: str) -> Examined:
    [found] = [one for one in examine_models(name) if one.name == f"model {name}"]
    return found


def test_the_configured_model_is_found_in_the_cache_with_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "not on this machine" in model_of("some/model").found
    assert "%kernelllm load -m some/model" in model_of("some/model").remedy
    revision = "0" * 40
    folder = tmp_path / "models--some--model" / "snapshots" / revision
    folder.mkdir(parents=True)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text(revision)
    (folder / "config.json").write_text("{}")
    assert model_of("some/model").found.startswith("in part")
    (folder / "model.safetensors").write_bytes(bytes(2_500_000))
    (folder / "tokenizer.json").write_text("{}")
    whole = model_of("some/model")
    assert (whole.state, whole.found) == ("ok", f"2.5 MB in {folder}")


def test_a_configured_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    found = model_of(str(tmp_path))
    assert found.state == "missing"
    assert "config.json" in found.remedy
    assert model_of("no such: id!").state == "missing"


def test_a_folder_that_is_not_there_yet_counts_by_where_it_would_be(tmp_path: Path) -> None:
    assert examine_folder("records", tmp_path / "a" / "b", "").state == "ok"
    (tmp_path / "a").write_text("a file")
    assert examine_folder("records", tmp_path / "a" / "b", "move it").state == "missing"


# --- settings ------------------------------------------------------------------------------------


def test_settings_are_told_each_with_the_file_that_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTERLAB_DIR", str(tmp_path / "lab"))
    monkeypatch.delenv("JUPYTERLAB_SETTINGS_DIR", raising=False)
    profile = tmp_path / "ipython" / "profile_default"
    user = tmp_path / "jupyter" / "lab" / "user-settings" / "kernelllm-jupyter"
    user /= "plugin.jupyterlab-settings"
    overridden = tmp_path / "lab" / "settings" / "overrides.json"
    texts = {
        profile / "ipython_config.py": "print('hello')\nc.KernelLLM.k = 3\nc.KernelLLM.repair = 2\n"
        "c.KernelLLM.timeout = 0\nc.KernelLLM.preload = False\n",
        profile / "ipython_config.json": '{"KernelLLM": {"repair": 1}}',
        profile / "ipython_kernel_config.py": "c.KernelLLM.temperature = 0.5\nraise SystemExit\n",
        user: '{ // of the editor\n "k": 4, "model": 7, "idle_minutes": 5.0,\n}',
        overridden: '{"kernelllm-jupyter:plugin": {"idle_minutes": 10, "top_p": 0.5}}',
    }
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    *found, rest = examine_settings_files()
    told = {one.name.partition(" ")[2]: one.found for one in found if one.state == "ok"}
    assert told == {
        "k": f"4 ({user})",
        "repair": f"1 ({profile / 'ipython_config.json'})",
        "top_p": f"0.5 ({overridden})",
        "idle_minutes": f"5.0 ({user})",
    }
    assert "model = starter, best = first, check = True" in rest.found
    assert "preload = False" in rest.found
    assert "temperature = the profile's" in rest.found
    wrong = {one.found: one.remedy for one in found if one.state == "missing"}
    assert set(wrong) == {
        "model has a value that cannot be",
        "timeout has a value that cannot be",
        f"{profile / 'ipython_kernel_config.py'} cannot be read",
    }
    assert str(user) in wrong["model has a value that cannot be"]


def test_what_counts_from_the_environment_is_told_and_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERNELLLM_RECORDS", "off")
    monkeypatch.setenv("KERNELLLM_API_KEY", "sesame")
    [found] = examine_environment()
    assert "KERNELLLM_RECORDS=off" in found.found
    assert "KERNELLLM_API_KEY (set)" in found.found
    assert "sesame" not in found.found
