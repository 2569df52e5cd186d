"""A checkpoint of ``engine_fixtures`` as a GGUF file, as llama.cpp's converter writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(checkpoint: Path, file: Path) -> Path:
    """Write the Llama of a folder, tokenizer included, with float32 weights."""
    import torch
    from gguf import GGUFWriter
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    config = model.config
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, checkpoint)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in model.state_dict().items():
        values = weight.numpy()
        for part, count in heads.items():
            if part in name:  # llama.cpp rotates neighbours, transformers halves.
                split = values.reshape(count, 2, -1, *values.shape[1:])
                values = split.swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem.startswith("model.layers."):
        number, _, part = stem.removeprefix("model.layers.").partition(".")
        return f"blk.{number}.{NAMES[part]}.weight"
    return f"{NAMES[stem]}.weight"


def _add_tokenizer(writer: Any, checkpoint: Path) -> None:
    import json

    from gguf import TokenType

    written = json.loads((checkpoint / "tokenizer.json").read_text())
    special = {token["content"] for token in written["added_tokens"]}
    numbers = {**written["model"]["vocab"]}
    numbers |= {token["content"]: token["id"] for token in written["added_tokens"]}
    tokens = sorted(numbers, key=lambda token: numbers[token])
    merges = [
        pair if isinstance(pair, str) else " ".join(pair) for pair in written["model"]["merges"]
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(numbers["<|begin_of_text|>"])
    writer.add_eos_token_id(numbers["<|eot_id|>"])
    writer.add_add_bos_token(True)
