"""``kernelllm history``, ``show`` and ``export``: what was made, from the records."""

from __future__ import annotations

import argparse
from pathlib import Path

from kernelllm_jupyter.commands.terminal import OK, print_json, say
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.export import choose, drawn_note, export_to
from kernelllm_jupyter.history import history_text, record_text
from kernelllm_jupyter.records import Records

__all__ = [
    "add_export_arguments",
    "add_history_arguments",
    "add_show_arguments",
    "export",
    "history",
    "show",
]


def add_history_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--limit", type=int, default=20, metavar="N", help="the latest N records (20)"
    )


def add_show_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        default="last",
        help="the record's ID or the beginning of it (default: the latest record)",
    )


def add_export_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID", help="the record's ID or the beginning of it, or last")
    command.add_argument(
        "path", metavar="PATH", help="the module to write; its test goes beside it"
    )
    command.add_argument(
        "--unverified",
        action="store_true",
        help="write code that was not found correct, too, marked as such",
    )


def history(arguments: argparse.Namespace) -> int:
    """List the latest records."""
    if arguments.limit < 1:
        raise UsageError("--limit takes a number of at least 1.")
    found = Records().summaries(arguments.limit)
    if arguments.json:
        print_json({"records": [summary.to_json() for summary in found]})
    else:
        print(history_text(found))
    return OK


def show(arguments: argparse.Namespace) -> int:
    """Show one record: code, verdict and timing."""
    record = Records().find(arguments.id)
    if arguments.json:
        print_json(record.to_json())
    else:
        print(record_text(record))
    return OK


def export(arguments: argparse.Namespace) -> int:
    """Write a record's verified kernel as a module of its own, with its test."""
    what = choose(Records().find(arguments.id))
    paths = export_to(Path(arguments.path), what, unverified=arguments.unverified)
    if arguments.json:
        print_json({"record": what.record, "files": [str(path) for path in paths]})
    else:
        for path in paths:
            print(path)
    if note := drawn_note(what):
        say(f"[{note}]")
    return OK
