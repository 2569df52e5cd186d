"""A checkpoint in memory: model, tokenizer, and what is needed to speak to them.

Imports torch and transformers; only the model process imports this module.
"""

from __future__ import annotations

import copy
import gc
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils.logging import disable_progress_bar

from kernelllm_jupyter.engines.chat import ChatTemplate, opened_thought
from kernelllm_jupyter.engines.detokenize import Detokenizer, detokenizers
from kernelllm_jupyter.engines.memory import available_bytes, memory_need, refuse_if_too_large
from kernelllm_jupyter.engines.quantization import (
    check_quantization,
    quantized,
    source_of,
    unpacking,
)
from kernelllm_jupyter.engines.stepping import Stepper, stepper_for
from kernelllm_jupyter.errors import CheckpointError, EngineError
from kernelllm_jupyter.values import Prompt

__all__ = ["LoadedModel", "load_checkpoint", "release_memory"]

DTYPES = {
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
    "float32": torch.float32,
    "fp32": torch.float32,
}
#: Ends of a turn, and what only ever stands at the start of a text or a turn.
CONTROL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|start_header_id|>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|im_start|>",
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<start_of_turn>",
    "<end_of_turn>",
)
#: Below this many parameters a second thread costs more than it gives.
ONE_THREAD_PARAMETERS = 50_000_000
DEFAULT_CONTEXT = 4096


@dataclass(frozen=True)
class LoadedModel:
    """``stop_ids`` end a reply; ``context`` is the number of tokens that the model can see."""

    model: Any
    tokenizer: Any
    encode: Callable[[str], list[int]]
    new_detokenizer: Callable[[], Detokenizer]
    stop_ids: frozenset[int]
    context: int
    device: str
    dtype: str
    parameters: int
    chat: ChatTemplate
    quantization: str = "none"
    bos_id: int | None = field(default=None)
    #: Decodes on a GPU; where there is none, ``generate`` does.
    stepper: Stepper | None = None

    def encoded(self, prompt: Prompt) -> tuple[list[int], str]:
        """``prompt`` in tokens, and how the reply begins where the prompt has begun it already."""
        if isinstance(prompt, str):
            return self.prompt_ids(prompt), ""
        ids, text = self.chat.encode(prompt)
        return ids, opened_thought(text)

    def prompt_ids(self, prompt: str) -> list[int]:
        """``prompt`` in tokens after exactly one BOS, special tokens in it being plain text.

        A BOS spelled out at the start of the prompt stands for the one that is added.
        """
        text = prompt
        if self.bos_id is not None:
            bos = re.escape(self.tokenizer.bos_token)
            text = re.sub(rf"\A\s*{bos}", "", prompt, count=1)
        return ([] if self.bos_id is None else [self.bos_id]) + self.encode(text)


def load_checkpoint(
    folder: Path,
    device: str,
    dtype: str,
    quantization: str = "none",
    tell: Callable[[str], None] = lambda _: None,
) -> LoadedModel:
    """Load from ``folder`` (or a GGUF file); ``device`` and ``dtype`` may be ``auto``.

    ``quantization`` is ``none``, ``8bit`` or ``4bit``. ``tell`` is told what memory the model will
    need, before it is read.

    Raises ``CheckpointError`` where the files cannot be used, ``EngineError`` where the device
    cannot hold or run them.
    """
    disable_progress_bar()  # The log is for what went wrong.
    chosen = _device(device)
    precision = _dtype(dtype, chosen)
    check_quantization(quantization, folder)
    tokenizer = _tokenizer(folder)
    model = _model(folder, chosen, precision, quantization, tell)
    parameters = sum(weight.numel() for weight in model.parameters())
    if chosen.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1 if parameters < ONE_THREAD_PARAMETERS else _cores())
    stop_ids = _stop_ids(model, tokenizer)
    # generate() fills what a call leaves open from here: a checkpoint's own top_k or temperature
    # must not get into a call that asked for others.
    model.generation_config = GenerationConfig()
    context = _context(model.config)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        encode=_encoder(tokenizer),
        new_detokenizer=detokenizers(tokenizer),
        stop_ids=stop_ids,
        context=context,
        device=str(chosen),
        dtype=str(precision).removeprefix("torch."),
        quantization=quantization,
        parameters=parameters,
        chat=ChatTemplate(tokenizer),
        bos_id=tokenizer.bos_token_id,
        stepper=None if quantization != "none" else stepper_for(model, str(chosen), context),
    )


def release_memory(loaded: LoadedModel) -> None:
    """Give back what a failed call took of the GPU: the checks need it, and the next call."""
    if loaded.stepper is not None and loaded.stepper.lock.acquire(blocking=False):
        try:
            loaded.stepper.forget()
        finally:
            loaded.stepper.lock.release()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"There is no device {name!r}: use cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "This PyTorch sees no GPU, so the model cannot be loaded on one. Use device cpu, or "
            "see `kernelllm doctor`."
        )
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        if device.type == "cpu":
            return torch.float32
        # Emulated below compute capability 8.0, where float16 is what the hardware has.
        bf16 = device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if bf16 else torch.float16
    try:
        return DTYPES[name.removeprefix("torch.")]
    except KeyError:
        raise EngineError(f"There is no dtype {name!r}: use {', '.join(DTYPES)}.") from None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _tokenizer(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(
            **source_of(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be loaded: {_first_line(error)} "
            "Copy the tokenizer's files from where the model was published."
        ) from error


def _encoder(tokenizer: Any) -> Callable[[str], list[int]]:
    """Text to tokens, special tokens in it being text; may be called from several threads.

    A fast tokenizer's own call sets that as a state of the tokenizer, which fails with "Already
    borrowed" while another thread uses it; a copy with the state set once does not.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda text: list(
            tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        )
    own = copy.deepcopy(backend)
    own.encode_special_tokens = True
    own.no_truncation()
    own.no_padding()
    return lambda text: list(own.encode(text, add_special_tokens=False).ids)


def _model(
    path: Path,
    device: torch.device,
    dtype: torch.dtype,
    quantization: str,
    tell: Callable[[str], None],
) -> Any:
    try:
        safe = {**source_of(path), "local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(**safe)
        form = str(dtype).removeprefix("torch.")
        need = memory_need(path, config.get_text_config(), dtype.itemsize, form, quantization)
        tell(f"needs {need.words()}")
        refuse_if_too_large(need, path, f"on {device}", _available(device))
        packed = quantized(quantization, device, dtype)
        how = {**safe, **unpacking(path), **packed}
        model = AutoModelForCausalLM.from_pretrained(**how, config=config, dtype=dtype)
    except EngineError:
        raise
    except torch.OutOfMemoryError as error:
        raise EngineError(f"The model does not fit on {device}: {_first_line(error)}") from error
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint in {path} cannot be loaded: {_first_line(error)} It must be a "
            "causal language model that transformers knows, with intact safetensors weights."
        ) from error
    if packed:
        return model.eval()
    try:
        return model.to(device).eval()
    except torch.OutOfMemoryError as error:
        weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        raise EngineError(
            f"The model's weights ({weights / 2**30:.1f} GiB in {dtype}) do not fit on {device}: "
            f"{_first_line(error)} Free the GPU, use another one (CUDA_VISIBLE_DEVICES), load it "
            "in fewer bits (--quantization), or use a smaller model."
        ) from error


def _available(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes() if device.type == "cpu" else None


def _context(config: Any) -> int:
    """The tokens of prompt and reply that the model can see; of its text part, if it has others."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else DEFAULT_CONTEXT


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found: set[int] = set()
    for holder in (model.generation_config, model.config, tokenizer):
        ids = getattr(holder, "eos_token_id", None)
        found.update([ids] if isinstance(ids, int) else ids or [])
    vocabulary = tokenizer.get_vocab()
    found.update(vocabulary[token] for token in CONTROL_TOKENS if token in vocabulary)
    if tokenizer.bos_token_id is not None:
        found.add(tokenizer.bos_token_id)
    return frozenset(found)
