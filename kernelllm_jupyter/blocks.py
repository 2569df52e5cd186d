"""Which of a reply's blocks of code are the candidate.

Models show a kernel in one block and the module in the next, begin with a sketch, or end with a
line on how to call the result. Blocks are only ever parsed, never run.
"""

from __future__ import annotations

import ast
import codeop
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from kernelllm_jupyter.syntax import parse

__all__ = ["Block", "chosen", "is_candidate"]

#: What a candidate has to define.
ANSWER = "ModelNew"
#: What binds a name at the margin, in code that cannot be parsed.
DEFINITION = re.compile(r"(?m)^(?:(?:async\s+)?def|class)\s+(\w+)|^(?:import|from)\b.*\b(\w+)$")


@dataclass(frozen=True)
class Block:
    """``bare`` is code without a fence, ``closed`` one whose end is known."""

    text: str
    bare: bool = False
    closed: bool = True


def is_candidate(blocks: Sequence[Block]) -> bool:
    """Whether what was chosen of these needs nothing more: the class, and a Triton kernel."""
    code = chosen(blocks)
    tree = _parsed(code)
    return tree is not None and ANSWER in _defined(code, tree) and "jit" in code


def chosen(blocks: Sequence[Block]) -> str:
    """The code of the block that is most likely the answer, after those that it builds on.

    That is the last that parses and defines ``ModelNew`` with a Triton kernel in it, or as much of
    this as there is. An earlier block is put before it where it defines a name that is missing.
    """
    texts = [_mended(block) for block in blocks]
    trees = [_parsed(text) for text in texts]
    place = max(range(len(texts)), key=lambda at: (*_worth(texts[at], trees[at]), at))
    taken = [texts[place]]
    missing = _used(texts[place], trees[place]) - _defined(texts[place], trees[place])
    for at in range(place - 1, -1, -1):
        gives = _defined(texts[at], trees[at])
        if trees[at] is None or not missing & gives:
            continue
        taken.insert(0, texts[at])
        missing = (missing | _used(texts[at], trees[at])) - gives
    return "\n\n".join(taken)


def _worth(text: str, tree: ast.Module | None) -> tuple[bool, bool, bool, bool]:
    classes = re.search(r"(?m)^class ", text) is not None
    return ANSWER in _defined(text, tree), tree is not None, classes, "jit" in text


def _mended(block: Block) -> str:
    """Without the indentation of the list that it stood in, and the talk that no fence ended."""
    text = block.text
    if _parsed(text) is not None:
        return text
    level = textwrap.dedent(text)
    if level != text and _parsed(level) is not None:
        return level
    return _without_talk(text) if block.bare else text


def _without_talk(text: str) -> str:
    """Bare code up to the first line at the margin that begins a sentence, if that makes sense."""
    lines = text.splitlines(keepends=True)
    for place, line in enumerate(lines):
        if place and line[:1].strip() and _is_talk(line):
            before = "".join(lines[:place])
            if _parsed(before) is not None:
                return before.rstrip() + "\n"
    return text


def _is_talk(line: str) -> bool:
    if len(line.split()) < 3:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codeop.compile_command(line, symbol="exec")
    except (SyntaxError, ValueError, OverflowError):
        return True
    return False


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of escapes and such: what is in a reply is no news.
            return parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _defined(text: str, tree: ast.Module | None) -> set[str]:
    """The names that a module's own level binds; of one that is broken off, as far as it shows."""
    if tree is None:
        return {name for pair in DEFINITION.findall(text) for name in pair if name}
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        else:
            found |= {
                name.id
                for name in ast.walk(node)
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            }
    return found


def _used(text: str, tree: ast.Module | None) -> set[str]:
    if tree is None:
        return set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text))
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
