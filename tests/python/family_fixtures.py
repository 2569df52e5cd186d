"""Tiny checkpoints of the architectures that model families use, with tokenizers of their form.

The weights are random, or taught one reply by heart. Special tokens, the marks around turns and
who writes the BOS are as in the family; the templates are written anew, in its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelllm_jupyter.prompts.families import INSTRUCT
from kernelllm_jupyter.prompts.kernelllm import EXAMPLE
from kernelllm_jupyter.values import Message

LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN_TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe of use.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEEPSEEK_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}"
    "{% elif m.role == 'user' %}<｜User｜>{{ m.content }}"
    "{% else %}<｜Assistant｜>{{ m.content.split('</think>')[-1] }}<｜end▁of▁sentence｜>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
#: R1's opens the reasoning itself, so that no reply does.
R1_TEMPLATE = DEEPSEEK_TEMPLATE.removesuffix("{% endif %}") + "<think>\n{% endif %}"


@dataclass(frozen=True)
class Kind:
    """What tells one family's checkpoints from another's."""

    model: Callable[[Any], Any]
    bos: str | None
    eos: str
    special: tuple[str, ...]
    #: Added, but not declared special.
    marks: tuple[str, ...]
    template: str | None
    #: Whether the tokenizer writes a BOS by itself, which the template does too.
    adds_bos: bool


def _sizes(tokenizer: Any, context: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def llama(tokenizer: Any, context: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_sizes(tokenizer, context), num_key_value_heads=2))


def qwen2(tokenizer: Any, context: int) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**_sizes(tokenizer, context), num_key_value_heads=2))


def deepseek_v3(tokenizer: Any, context: int) -> Any:
    """Latent attention, and a layer of four experts of which two are asked, beside a shared one."""
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    config = DeepseekV3Config(
        **_sizes(tokenizer, context),
        num_key_value_heads=4,
        moe_intermediate_size=64,
        n_routed_experts=4,
        n_shared_experts=1,
        num_experts_per_tok=2,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=1,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=16,
        v_head_dim=16,
        num_nextn_predict_layers=0,
    )
    return DeepseekV3ForCausalLM(config)


LLAMA = Kind(
    llama,
    "<|begin_of_text|>",
    "<|eot_id|>",
    ("<|start_header_id|>", "<|end_header_id|>"),
    (),
    LLAMA_TEMPLATE,
    adds_bos=True,
)
QWEN = Kind(
    qwen2, None, "<|im_end|>", ("<|im_start|>", "<|endoftext|>"), (), QWEN_TEMPLATE, adds_bos=False
)
DEEPSEEK = Kind(
    deepseek_v3,
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    (),
    ("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"),
    DEEPSEEK_TEMPLATE,
    adds_bos=True,
)
R1 = Kind(deepseek_v3, DEEPSEEK.bos, DEEPSEEK.eos, (), DEEPSEEK.marks, R1_TEMPLATE, adds_bos=True)
R1_LLAMA = Kind(llama, DEEPSEEK.bos, DEEPSEEK.eos, (), DEEPSEEK.marks, R1_TEMPLATE, adds_bos=True)


def tokenizer_of(kind: Kind) -> Any:
    """Byte-level BPE, trained on what prompts are made of."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=1200,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([INSTRUCT.system, INSTRUCT.user, EXAMPLE], trainer)
    own = [token for token in (kind.bos, kind.eos) if token]
    tokenizer.add_special_tokens([*own, *kind.special])
    tokenizer.add_tokens([AddedToken(mark, special=False) for mark in kind.marks])
    if kind.adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{kind.bos} $A", special_tokens=[(kind.bos, tokenizer.token_to_id(kind.bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=kind.bos,
        eos_token=kind.eos,
        chat_template=kind.template,
        clean_up_tokenization_spaces=True,
    )


def make_family_checkpoint(
    folder: Path,
    kind: Kind,
    *,
    prompt: Sequence[Message] | str | None = None,
    reply: str = "",
    context: int = 2048,
) -> Path:
    """Write a checkpoint; one that is given a ``reply`` gives it to ``prompt``, greedily."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = tokenizer_of(kind)
    torch.manual_seed(0)
    model = kind.model(tokenizer, context)
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if prompt is not None:
        # As the engine loads it: transformers gives some families a class of their own.
        loaded = AutoTokenizer.from_pretrained(folder)
        asked = prompt if isinstance(prompt, str) else rendered(loaded, prompt)
        _teach(model, loaded, asked, reply + kind.eos)
    model.save_pretrained(folder)
    return folder


def rendered(tokenizer: Any, messages: Sequence[Message]) -> str:
    """What transformers itself makes of the turns."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _teach(model: Any, tokenizer: Any, prompt: str, reply: str) -> None:
    import torch

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    asked, answer = ids(prompt), ids(reply)
    row = torch.tensor([asked + answer])
    labels = row.clone()
    labels[:, : len(asked)] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(200):
        loss = model(input_ids=row, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.02:
            break
    model.eval()
    assert loss.item() < 0.1, loss.item()
