"""Each family of models, from load to extracted code, through the real engine process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from family_fixtures import (
    DEEPSEEK,
    LLAMA,
    QWEN,
    R1,
    R1_LLAMA,
    Kind,
    make_family_checkpoint,
    rendered,
    tokenizer_of,
)

from kernelllm_jupyter.engines import get_engine
from kernelllm_jupyter.engines.chat import ChatTemplate, opened_thought
from kernelllm_jupyter.engines.local import stop_all
from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import profile_for
from kernelllm_jupyter.translate import Event, Finished, Generated, Thought, Wrote, translate
from kernelllm_jupyter.values import Candidate, Message, Sampling

CODE = """\
import torch
import triton


@triton.jit
def relu_kernel(x_ptr, out_ptr, count):
    pass


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return x
"""
THOUGHT = "Use one kernel. Maybe:\n```python\nclass ModelNew:\n    jit = 1\n```\nNo, as below."
GREEDY = Sampling(temperature=0.0, max_new_tokens=400)


def events_of(folder: Path, module: str, sampling: Sampling = GREEDY) -> list[Event]:
    engine = get_engine(str(folder))
    profile = profile_for(str(folder))
    return list(translate(parse_problem(module), engine, profile, sampling=sampling))


@pytest.fixture(autouse=True)
def engines_end_with_their_test() -> Iterator[None]:
    yield
    stop_all()


def candidate_of(events: Sequence[Event]) -> Candidate:
    (found,) = (event.candidate for event in events if isinstance(event, Generated))
    return found


def taught(folder: Path, kind: Kind, module: str, reply: str) -> Path:
    """A checkpoint that answers the prompt of its own family's profile with ``reply``."""
    make_family_checkpoint(folder, kind)  # The folder decides on the profile.
    prompt = profile_for(str(folder)).prompt(parse_problem(module))
    return make_family_checkpoint(folder, kind, prompt=prompt, reply=reply)


@pytest.mark.parametrize(
    ("name", "kind", "family"),
    [
        ("Llama-3.1-8B-Instruct", LLAMA, "llama3"),
        ("Qwen2.5-Coder-32B-Instruct", QWEN, "qwen2.5"),
        ("DeepSeek-V3", DEEPSEEK, "deepseek-v3"),
    ],
)
def test_an_instruct_model_is_asked_in_its_template_and_its_code_streams(
    tmp_path: Path, small_module: str, name: str, kind: Kind, family: str
) -> None:
    reply = f"Here it is:\n\n```python\n{CODE}```\nIt is one kernel."
    folder = taught(tmp_path / name, kind, small_module, reply)
    assert profile_for(str(folder)).name == family
    events = events_of(folder, small_module)
    candidate = candidate_of(events)
    assert candidate.code == CODE
    assert candidate.finish == "stop"
    assert not candidate.thought
    pieces = [event.code for event in events if isinstance(event, Wrote) and event.code]
    assert len(pieces) > 1
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("name", "kind"), [("DeepSeek-R1", R1), ("DeepSeek-R1-Distill-Llama-70B", R1_LLAMA)]
)
def test_a_reasoning_model_thinks_first_and_its_drafts_are_no_code(
    tmp_path: Path, small_module: str, name: str, kind: Kind
) -> None:
    """The template opens the reasoning, so that only its closing mark is in the model's text."""
    reply = f"{THOUGHT}\n</think>\n\n```python\n{CODE}```"
    folder = taught(tmp_path / name, kind, small_module, reply)
    profile = profile_for(str(folder))
    assert profile.name == "deepseek-r1"
    assert (profile.single.temperature, profile.single.top_p) == (0.6, 0.95)
    events = events_of(folder, small_module)
    candidate = candidate_of(events)
    assert candidate.thought == THOUGHT
    assert candidate.code == CODE
    thoughts = [event.text for event in events if isinstance(event, Thought)]
    assert len(thoughts) > 1
    assert "".join(thoughts).strip() == THOUGHT
    written = [event.code for event in events if isinstance(event, Wrote)]
    assert "".join(written) == CODE
    # Cut off in the midst of it, the draft is no answer either.
    cut = candidate_of(
        events_of(folder, small_module, Sampling(temperature=0.0, max_new_tokens=30))
    )
    assert cut.code == ""
    assert cut.thinking
    assert cut.thought
    assert "inside the model's thinking" in cut.no_code
    assert "--max-new-tokens" in cut.no_code
    assert folder.is_dir()


def test_a_model_without_a_chat_template_gets_text_to_go_on_with(
    tmp_path: Path, small_module: str
) -> None:
    kind = Kind(LLAMA.model, LLAMA.bos, LLAMA.eos, LLAMA.special, (), None, adds_bos=True)
    folder = tmp_path / "Some-Instruct"
    make_family_checkpoint(folder, kind)
    profile = profile_for(str(folder))
    prompt = profile.prompt(parse_problem(small_module))
    assert isinstance(prompt, str)
    make_family_checkpoint(folder, kind, prompt=f"{kind.bos}{prompt}", reply=CODE)
    assert candidate_of(events_of(folder, small_module)).code == CODE


# --- prompts in tokens ---------------------------------------------------------------------------

TURNS = (Message("system", "Be brief."), Message("user", "x = 1"), Message("assistant", "y"))
TURNS = (*TURNS, Message("user", "  größer <b> 内核\n\ndef f(): pass "))


@pytest.mark.parametrize("kind", [LLAMA, QWEN, DEEPSEEK, R1], ids=["llama", "qwen", "v3", "r1"])
def test_turns_are_encoded_as_transformers_encodes_them(kind: Kind) -> None:
    tokenizer = tokenizer_of(kind)
    ids, text = ChatTemplate(tokenizer).encode(TURNS)
    assert text == rendered(tokenizer, TURNS)
    assert ids == tokenizer(text, add_special_tokens=False).input_ids
    if tokenizer.bos_token_id is not None:
        assert ids.count(tokenizer.bos_token_id) == 1
        # The tokenizer's own call would put a second one before it.
        assert tokenizer(text).input_ids[:2] == [tokenizer.bos_token_id] * 2


@pytest.mark.parametrize("kind", [LLAMA, QWEN, DEEPSEEK], ids=["llama", "qwen", "deepseek"])
def test_special_tokens_in_somebodys_code_are_text(kind: Kind) -> None:
    tokenizer = tokenizer_of(kind)
    marks = [token for token in (kind.bos, kind.eos, *kind.special, *kind.marks) if token]
    source = "".join(f"x = '{mark}{mark}'\n" for mark in marks)
    chat = ChatTemplate(tokenizer)
    ids, text = chat.encode((Message("user", source),))
    plain, _ = chat.encode((Message("user", "x"),))
    special = set(tokenizer.added_tokens_decoder)
    assert [token for token in ids if token in special] == [t for t in plain if t in special]
    assert text == rendered(tokenizer, (Message("user", source),))
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_what_a_template_opened_is_told() -> None:
    for kind, expected in ((R1, "<think>\n"), (DEEPSEEK, "")):
        _, text = ChatTemplate(tokenizer_of(kind)).encode((Message("user", "Is <think> a mark?"),))
        assert opened_thought(text) == expected


def test_a_template_without_a_system_turn_gets_its_words_in_the_first_turn() -> None:
    tokenizer = tokenizer_of(LLAMA)
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    )
    _, text = ChatTemplate(tokenizer).encode(TURNS[:2])
    assert text == "[user] Be brief.\n\nx = 1"
    tokenizer.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(EngineError, match=r"never.*docs/profiles\.md"):
        ChatTemplate(tokenizer).encode(TURNS)


def test_without_a_template_turns_are_paragraphs_after_one_bos() -> None:
    tokenizer = tokenizer_of(LLAMA)
    tokenizer.chat_template = None
    ids, text = ChatTemplate(tokenizer).encode(TURNS[:2])
    assert text == "Be brief.\n\nx = 1\n\n"
    assert ids == tokenizer(text).input_ids
    assert ids.count(tokenizer.bos_token_id) == 1


def test_code_in_a_checkpoints_folder_is_not_run(tmp_path: Path, small_module: str) -> None:
    """DeepSeek's own repositories bring Python files that name themselves as the model's code."""
    import json

    folder = make_family_checkpoint(tmp_path / "DeepSeek-V3", DEEPSEEK)
    configuration = json.loads((folder / "config.json").read_text())
    configuration["auto_map"] = {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}
    (folder / "config.json").write_text(json.dumps(configuration))
    (folder / "configuration_deepseek.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    short = Sampling(temperature=0.0, max_new_tokens=2)
    assert candidate_of(events_of(folder, small_module, short)).tokens
    assert not (tmp_path / "ran").exists()


def test_a_prompt_too_long_for_the_model_is_refused_before_anything_is_generated(
    tmp_path: Path, small_module: str
) -> None:
    from transformers import AutoTokenizer

    folder = make_family_checkpoint(tmp_path / "Qwen2.5-Instruct", QWEN, context=256)
    with pytest.raises(EngineError, match="sees at most 256"):
        events_of(folder, small_module)
    # Also where so little room is left that the reply could be no translation.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = len(tokenizer.encode(rendered(tokenizer, prompt_of(folder, small_module))))
    make_family_checkpoint(folder, QWEN, context=tokens + 8)
    with pytest.raises(EngineError, match=f"has {tokens} tokens"):
        events_of(folder, small_module)


def prompt_of(folder: Path, module: str) -> tuple[Message, ...]:
    prompt = profile_for(str(folder)).prompt(parse_problem(module))
    assert not isinstance(prompt, str)
    return prompt
