"""Takes the code out of a model's reply while it streams.

Replies come fenced or bare, in one block or several, with talk before and after, broken off
anywhere, and in pieces that respect no line. Text is handed on as soon as it cannot be part of a
fence or of a special token; which blocks make up the candidate is known at their ends
(:mod:`kernelllm_jupyter.blocks`). Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernelllm_jupyter.blocks import Block, chosen, is_candidate

__all__ = ["CodeReader", "begins_code", "extract_code"]

FENCE = re.compile(r"\s*(?P<fence>`{3,}|~{3,})\s*(?P<language>[^\s`]*)[^`\n]*$")
#: What may still become a closing fence, or ends before anything else stood on the line.
MAYBE_FENCE = re.compile(r"\s*(`*|~*)\s*$")
#: No operator of Python begins like this, so such text is a special token that was spelled out.
SPECIAL = re.compile(r"<\|[A-Za-z0-9_]+\|>|<｜[\w▁]+｜>")
MAYBE_SPECIAL = re.compile(r"<(\|[A-Za-z0-9_]*\|?|｜[\w▁]*｜?)?$")
#: Blocks in these are commands or output that surround the code.
OTHER_LANGUAGES = {
    *("bash", "sh", "shell", "console", "text", "txt", "output", "plaintext"),
    *("json", "yaml", "toml", "markdown", "md", "diff", "c", "cpp", "cuda"),
}
CODE_LINE = re.compile(
    r"""(
      import\s+[\w.]+(\s+as\s+\w+)?(\s*,\s*[\w.]+(\s+as\s+\w+)?)*
    | from\s+[\w.]+\s+import\s+.+
    | @\w.*
    | (async\s+)?def\s+\w+\s*\(.*
    | class\s+\w+\s*(\(.*)?:?.*
    | [A-Za-z_]\w*\s*(:\s*[\w.\[\], ]+)?=[^=].*
    | [rR]?(\"{3}|'{3}).*
    )\s*(\#.*)?$""",
    re.VERBOSE,
)
#: These stand before code, and are headings or nothing where no code follows.
MAYBE_CODE_LINE = re.compile(r"(#.*)?\s*$")


class CodeReader:
    """An incremental :class:`~kernelllm_jupyter.prompts.Reader` for replies of any form.

    Done at the end of a block that is a whole candidate; a block that is none may be followed by
    one that is, or that goes on with it.
    """

    #: Such replies have none; see :mod:`kernelllm_jupyter.reply`.
    thoughts: Sequence[str] = ()
    thinking = False

    def __init__(self) -> None:
        self.done = False
        self.whole: str | None = None
        self._state = self._before
        self._line = ""  # What has come of the current line.
        self._given = 0  # How much of it was handed on.
        self._held: list[str] = []  # Whole lines of which it is not known what they are.
        self._talked = False
        self._fence = ""
        self._out: list[str] = []
        self._blank = True  # Nothing but empty lines were handed on of this block.
        self._block: list[str] = []
        self._blocks: list[Block] = []
        self._bare = False

    @property
    def in_code(self) -> bool:
        """Whether what comes next belongs to a block of code."""
        return self._state == self._inside

    def feed(self, text: str) -> str:
        """The code that is certain after this piece of the reply."""
        for piece in _lines(text):
            if self.done:
                break
            self._line += piece
            complete = self._line.endswith("\n")
            self._state(complete)
            if complete:
                self._line, self._given = "", 0
        return self._taken()

    def flush(self) -> str:
        """The rest, when the reply is over; what was the beginning of a fence is dropped."""
        if not self.done and self._line:
            if self._state == self._before and not self._talked and CODE_LINE.match(self._line):
                self._begin_bare()
            if self._state == self._inside and not MAYBE_FENCE.fullmatch(self._line):
                rest = self._line[self._given :]
                self._give(MAYBE_SPECIAL.sub("", rest))
        # Not done: that the reply is over does not mean that its code is complete.
        self._line, self._given = "", 0
        self._end_block(closed=False)
        return self._taken()

    # --- states --------------------------------------------------------------------------------

    def _before(self, complete: bool) -> None:
        """Talk, until a fence or a line of code."""
        if not complete:
            return
        line = self._line.rstrip()
        fence = FENCE.fullmatch(line)
        if fence:
            self._held.clear()
            self._fence = fence["fence"]
            other = fence["language"].lower() in OTHER_LANGUAGES
            self._state = self._elsewhere if other else self._inside
        elif self._blocks:
            pass  # After a block, code that stands in no fence is part of the talk.
        elif CODE_LINE.match(line):
            self._begin_bare()
            self._inside(complete)
        elif MAYBE_CODE_LINE.fullmatch(line):
            self._held.append(self._line)
        else:
            self._talked = True
            self._held.clear()

    def _begin_bare(self) -> None:
        self._fence = "```"
        self._bare = True
        self._state = self._inside
        for line in self._held:
            self._give(line)
        self._held.clear()

    def _elsewhere(self, complete: bool) -> None:
        """A block of something else, until its fence."""
        if complete and self._closes(self._line):
            self._state = self._before

    def _inside(self, complete: bool) -> None:
        """Code, until the closing fence, a special token, or the end."""
        special = SPECIAL.search(self._line)
        if special:
            self._give(self._line[self._given : special.start()])
            self._end_block(closed=True)
            self.done = True
        elif complete and self._closes(self._line):
            self._end_block(closed=True)
            self.done = self.done or is_candidate(self._blocks)
        elif complete:
            self._give(self._line[self._given :])
        elif not MAYBE_FENCE.fullmatch(self._line):
            doubtful = MAYBE_SPECIAL.search(self._line)
            certain = doubtful.start() if doubtful else len(self._line)
            self._give(self._line[self._given : certain])
            self._given = max(self._given, certain)

    def _closes(self, line: str) -> bool:
        bare = line.strip()
        character = self._fence[0]
        return len(bare) >= len(self._fence) and not bare.strip(character)

    def _give(self, text: str) -> None:
        if self._blank:
            text = text.lstrip("\n") if text.strip() else ""
            self._blank = not text
        if not text:
            return
        if self._blocks and not self._block:
            self._out.append("\n\n")
        self._out.append(text)
        self._block.append(text)

    def _end_block(self, *, closed: bool) -> None:
        if self._block:
            self._blocks.append(Block("".join(self._block), bare=self._bare, closed=closed))
        self._block.clear()
        self._blank, self._bare = True, False
        self._state = self._before
        if self._blocks:
            found = chosen(self._blocks)
            joined = "\n\n".join(block.text for block in self._blocks)
            self.whole = found if found != joined else None

    def _taken(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text


def _lines(text: str) -> list[str]:
    """Split after each newline only: a form feed inside a string is no end of a line."""
    return [part for part in re.split(r"(?<=\n)", text) if part]


def extract_code(text: str) -> str:
    """The code in a whole reply; empty where there is none."""
    reader = CodeReader()
    joined = reader.feed(text) + reader.flush()
    return joined if reader.whole is None else reader.whole


def begins_code(text: str) -> bool:
    """Whether the first line that is not blank is code or opens a fence."""
    line = text.lstrip().split("\n", 1)[0].rstrip()
    return bool(FENCE.fullmatch(line) or CODE_LINE.match(line))
