"""Parsing works whatever other threads parse at the same time."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest

import kernelllm_jupyter.values
from kernelllm_jupyter.syntax import parse, parse_expression

SOURCE = Path(kernelllm_jupyter.values.__file__).read_text("utf-8")


class Cycle:
    """Garbage that runs Python code when it is collected, in the midst of a parse."""

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        sum(range(50))


def test_many_threads_may_parse_at_once() -> None:
    wanted = ast.dump(ast.parse(SOURCE))
    wrong: list[str] = []

    def work() -> None:
        for _ in range(20):
            for _ in range(20):
                Cycle()
            try:
                if ast.dump(parse(SOURCE)) != wanted:
                    wrong.append("another tree")
            except BaseException as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_no_python_is_an_error_as_ever() -> None:
    with pytest.raises(SyntaxError):
        parse("def f(:\n")
    with pytest.raises(SyntaxError):
        parse_expression("x = 1")
    assert ast.unparse(parse_expression("a+1")) == "a + 1"
