"""A candidate that answers the referee itself: the verdict is never its own, nor the user's fault.

Each candidate here writes to the socket behind its own process, as hostile code could.
"""

from __future__ import annotations

import sys
import textwrap

import pytest
from test_worker import RIGHT, doing, run

from kernelllm_jupyter.verify.codes import known_reason

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

#: What a forger needs: the wire, a message on it, and the form of a right answer to a run.
TOOLS = """
import json, os, socket, stat, struct

def wire():
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                return socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue

def say(header=None, blobs=(), body=None, carrier=None, sizes=None):
    sizes = [len(blob) for blob in blobs] if sizes is None else sizes
    body = body or json.dumps({"header": header, "sizes": sizes}).encode()
    start = struct.pack("!Q", len(body))
    if carrier is None and sizes:
        carrier = os.memfd_create("forged")
        os.write(carrier, b"".join(blob + bytes(-len(blob) % 64) for blob in blobs))
    if carrier is None:
        wire().sendall(start + body)
    else:
        socket.send_fds(wire(), [start], [carrier])
        wire().sendall(body)

def form(tensor, index):
    shape, strides = list(tensor.shape), list(tensor.stride())
    return {"tensor": index, "dtype": "float32", "shape": shape, "strides": strides}

def content(tensor):
    return bytes(tensor.contiguous().numpy().data)

def answer(outputs, **more):
    return {"outputs": outputs, "inputs": {"list": [form(x, 1), form(y, 2)]},
            "state": {"dict": []}, "launches": {"forged": 1}, "only_copies": False, "aten": {},
            "work": {}, "read_by_host": {},
            "stale": False, "notes": [], "configuration": None, "configurations": {},
            "devices": ["cpu"], **more}

def say_answer(outputs, blob=b"", **more):
    say(answer(outputs, **more), [blob, content(x), content(y)])
"""


def forging(statements: str) -> str:
    """A candidate that writes to the wire in ``forward`` and is gone."""
    return doing(TOOLS + textwrap.dedent(statements) + "\nos._exit(0)")


@pytest.mark.parametrize(
    "statements",
    [
        'say({"failed": {"kind": "correct", "code": "exception", "message": ""}})',
        'say({"verdict": "correct", "final": {"verdict": "correct"}})',
        'say({"failed": {"kind": ["x"], "code": {}, "message": 4, "line": "x"}})',
        'say({"failed": [1]})',
        'say({"failed": "text"})',
        "say([])",
        'say(body=b"[" * 3_000_000)',
        'say(body=b"{" + b\'"a":1,\' * 100_000)',
        'say(body=b"1" * 100_000)',
        'wire().sendall(b"\\xff" * 4096)',
        'say({"outputs": 1}, sizes=[1 << 62], blobs=[b"x"])',
        'say({"outputs": 1}, sizes=[-1], blobs=[b"x"])',
        'say({"outputs": 1}, sizes=[True], blobs=[b"x"])',
        'say({"outputs": 1}, sizes=[4], carrier=os.open(".", os.O_RDONLY))',
        'say({"outputs": 1}, sizes=[4], carrier=os.pipe()[0])',
        'say({"outputs": 1}, sizes=[4])',
        "say_answer({})",
        "say_answer([])",
        'say_answer({"value": [1, 2]})',
        'say_answer({"list": 3})',
        'say_answer({"dict": [[1, 2, 3]]})',
        'say_answer({"dict": [[{}, {"value": 1}]]})',
        'say_answer({"dtype": "nn"})',
        "f = {'value': 1}\nfor _ in range(400): f = {'list': [f]}\nsay_answer(f)",
        'say_answer({**form(x, 0), "dtype": "qint8"}, b"abcd")',
        'say_answer({**form(x, 0), "dtype": "int4"}, b"abcd")',
        'say_answer({**form(x, 0), "dtype": []}, b"abcd")',
        'say_answer({**form(x, 99)}, b"abcd")',
        'say_answer({**form(x, -1)}, b"abcd")',
        'say_answer({**form(x, "0")}, b"abcd")',
        'say_answer({**form(x, 0), "shape": [1 << 20], "strides": [1 << 20]}, b"abcd")',
        'say_answer({**form(x, 0), "shape": [4], "strides": [-1]}, b"abcd" * 4)',
        'say_answer({**form(x, 0), "shape": [-4], "strides": [1]}, b"abcd" * 4)',
        'say_answer({**form(x, 0), "shape": [1 << 70], "strides": [0]}, b"abcd")',
        'say_answer({**form(x, 0), "shape": [1 << 40] * 9, "strides": [0] * 9}, b"abcd")',
        'say_answer({**form(x, 0), "shape": [1.0], "strides": [1]}, b"abcd")',
        'say_answer({**form(x, 0), "shape": None}, b"abcd")',
        'say_answer({**form(x, 0), "shape": [1]}, b"abcd")',
        'say_answer({**form(x, 0), "shape": [1], "strides": [1]}, b"abc")',
        'say_answer(form(x, 0), content(x), launches={"k": "many"})',
        'say_answer(form(x, 0), content(x), launches={"k": -1})',
        "say_answer(form(x, 0), content(x), launches=7)",
        "say_answer(form(x, 0), content(x), notes=7)",
        "say_answer(form(x, 0), content(x), state=form(x, 0))",
        'say_answer(form(x, 0), content(x), state={"dict": [["w", {"value": 1}]]})',
    ],
)
def test_what_is_no_answer_is_refused_as_such(statements: str) -> None:
    found = run(forging(statements), timeout_s=20.0)
    assert found.verdict == "crashed", found
    assert found.reasons[0].code in ("garbled", "exit"), found
    assert run(RIGHT).correct


def test_an_answer_without_its_bytes_shows_nothing_of_the_referees_memory() -> None:
    # The memory that the reference's result was in is free by then, and would be handed out.
    found = run(forging("say_answer(form(x, 0), b'')"))
    assert (found.verdict, found.reasons[0].code) == ("crashed", "garbled")


def test_a_shape_of_terabytes_over_four_bytes_is_only_a_wrong_shape() -> None:
    huge = '{**form(x, 0), "shape": [1 << 38], "strides": [0]}'
    found = run(forging(f'say_answer({huge}, b"abcd")'))
    assert (found.verdict, found.reasons[0].code) == ("incorrect", "shape")


def test_a_byte_that_is_no_boolean_does_not_count_as_true_and_false() -> None:
    forged = '{**form(x, 0), "dtype": "bool"}'
    found = run(forging(f"say_answer({forged}, bytes([2]) * x.numel())"))
    assert (found.verdict, found.reasons[0].code) == ("incorrect", "dtype")


@pytest.mark.parametrize(
    "inputs", ['{"list": []}', '{"list": [form(x, 1)]}', '{"value": 1}', '{"dict": []}']
)
def test_inputs_that_do_not_come_back_are_overwritten(inputs: str) -> None:
    right = "say_answer(form(x, 0), content(torch.relu(x + y)), inputs=" + inputs + ")"
    found = run(forging(right))
    assert (found.verdict, found.reasons[0].code) == ("rejected", "input_overwritten")


def test_a_message_is_bounded_and_moves_no_terminal() -> None:
    found = run(
        doing(
            """
            class Loud(Exception):
                def __str__(self):
                    return "\\x1b[2J\\x07" * 100_000
            raise Loud()
            """
        )
    )
    assert found.verdict == "runtime_error"
    assert len(found.reasons[0].message) < 10_000
    assert "\x1b" not in found.reasons[0].message
    forged = 'say({"failed": {"kind": "runtime_error", "code": "exception", "message": TEXT}})'
    found = run(forging("TEXT = '\\x1b[2J' * 1_000_000\n" + forged))
    assert len(found.reasons[0].message) < 10_000
    assert "\x1b" not in found.reasons[0].message


def test_two_answers_to_one_question_gain_nothing() -> None:
    right = "say_answer(form(x, 0), content(torch.relu(x + y)))\n"
    found = run(forging(right * 12))
    assert not found.correct
    assert known_reason(found.verdict, found.reasons[0].code)


def test_an_answer_in_drips_ends_with_the_check() -> None:
    found = run(
        doing(
            TOOLS
            + textwrap.dedent(
                """
                import time
                wire().sendall(struct.pack("!Q", 1000))
                while True:
                    wire().sendall(b" ")
                    time.sleep(0.05)
                """
            )
        ),
        timeout_s=2.0,
    )
    assert found.verdict == "timeout"
    assert run(RIGHT).correct
