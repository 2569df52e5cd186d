"""A tiny checkpoint with a Llama-3-like tokenizer and random weights, as save_pretrained writes it.

What it generates means nothing; how it is prompted, sampled, streamed and stopped is the same as
for the 8B model.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

#: Text in several scripts, so that characters are spread over several tokens.
CORPUS = (
    "import torch\nimport triton\nimport triton.language as tl\n",
    "@triton.jit\ndef add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):\n    pass\n",
    "class ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n",
    "größer 内核 ядро 🚀 naïve",
)
SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)


def llama3_like_tokenizer() -> Any:
    """Byte-level BPE; adds its BOS by itself, as Llama 3's does."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\w+|[^\w\s]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # Llama 3's special tokens come after the vocabulary, not before it.
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    bos = SPECIAL_TOKENS[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token="<|eot_id|>",
        clean_up_tokenization_spaces=True,  # As in Llama 3's configuration; it damages code.
    )


def make_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    hidden: int = 32,
    layers: int = 2,
    context: int = 512,
    endless: bool = False,
) -> Path:
    """Write the checkpoint; the same seed gives the same weights.

    An ``endless`` one never ends a greedy reply by itself.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = llama3_like_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,  # Flat logits would make every sampling look the same.
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    if endless:
        with torch.no_grad():
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))] = 0.0
    # As Llama 3.1's: settings that must not get into a call which asks for others.
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.6,
        top_p=0.9,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end_of_text|>")],
    )
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


#: How to have an endless checkpoint write on and on: by chance, since a reply that repeats itself
#: is stopped, but never what it was not taught.
ENDLESSLY = "--temperature 1 --top-p 0.85 --max-new-tokens 12000"


def make_endless_checkpoint(folder: Path, module: str) -> Path:
    """Write a checkpoint that answers the prompt for ``module`` with lines of code, without end.

    The lines are ``x = `` and a digit of chance each. It brings its own template, a short one, so
    that teaching it takes a moment.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kernelllm_jupyter.problem import parse_problem
    from kernelllm_jupyter.prompts import KernelLLMProfile

    make_checkpoint(folder, context=16384)
    (folder / "translate.py").write_text('PROMPT_TEMPLATE = "{}\\nanswer:\\n"\n')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = KernelLLMProfile(str(folder)).prompt(parse_problem(module))
    start = len(tokenizer(prompt).input_ids)
    digits = set(tokenizer.convert_tokens_to_ids(list("0123456789")))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    draw = random.Random(0)
    for _ in range(150):
        lines = "".join(f"x = {draw.randrange(10)}\n" for _ in range(100))
        ids = tokenizer(prompt + lines, return_tensors="pt").input_ids
        labels = ids.clone()
        labels[:, :start] = -100
        logits = model(input_ids=ids).logits[:, :-1]
        wanted = labels[:, 1:]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="none"
        )
        losses.sum().div((wanted >= 0).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    is_certain = torch.tensor([token >= 0 and token not in digits for token in wanted[0].tolist()])
    assert losses[is_certain].mean().item() < 0.05, "all but the digits is learned by heart"
    model.save_pretrained(folder)
    return folder
