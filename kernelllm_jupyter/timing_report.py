"""Timings in words: figures with their intervals, the limit beside them, and what spoils them.

Pure functions of values, as in :mod:`kernelllm_jupyter.report`. A bound is always called one, and
what was not measured is never a figure.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelllm_jupyter.timings import Bound, Contender, Interval, Sweep, SweepPoint, Timing, Work

__all__ = ["NAMES", "conclusion", "milliseconds", "timing_notes", "timing_rows", "timing_text"]

#: What is timed, in a reader's words.
NAMES = {
    "eager": "PyTorch eager",
    "compile": "torch.compile",
    "max-autotune": "torch.compile, max-autotune",
    "candidate": "Triton candidate",
}
#: Kernels of a call that are listed one by one.
KERNELS_SHOWN = 6


def timing_text(timing: Timing) -> str:
    """The timing in words, each figure with its interval."""
    lines = [conclusion(timing)] if timing.measured else []
    if timing.measured or timing.eager_ms is not None:
        width = max(17, *(len(name) for name, _ in timing_rows(timing)))
        lines += [f"{name:{width}} {figure}" for name, figure in timing_rows(timing)]
    return "\n".join([*lines, *timing_notes(timing)]) or "Not measured."


def timing_rows(timing: Timing) -> list[tuple[str, str]]:
    """What was timed, and how long a call takes."""
    rows: list[tuple[str, float | None, Interval | None]] = [
        (NAMES[each.name], each.median_ms, each.interval_ms) for each in timing.contenders
    ] or [
        (NAMES["eager"], timing.eager_ms, timing.eager_interval_ms),
        (NAMES["compile"], timing.compile_ms, timing.compile_interval_ms),
        (NAMES["candidate"], timing.candidate_ms, timing.candidate_interval_ms),
    ]
    return [(name, milliseconds(value, interval)) for name, value, interval in rows]


def timing_notes(timing: Timing) -> list[str]:
    """How to read the figures, what to think of them, and the limit beside them."""
    lines = _figures(timing) if timing.measured else []
    lines += [f"Disturbed: {found.message}" for found in timing.contamination]
    if timing.message:
        lines.append(timing.message)
    if timing.work is not None:
        lines.append(_work(timing.work))
    if timing.bound is not None:
        lines.append(_bound(timing.bound))
    lines += [*_reached(timing), *_kernels(timing)]
    return lines + [line for sweep in timing.sweeps for line in _sweep(sweep)]


def conclusion(timing: Timing) -> str:
    """What the figures come to, in one line."""
    if not timing.measured:
        return "Not timed"
    sentences = [_against("PyTorch eager", timing.conclusion, timing.speedup)]
    for contender in timing.contenders:
        if contender.name not in ("eager", "candidate") and contender.ratio is not None:
            name = NAMES[contender.name]
            sentences.append(_against(name, contender.conclusion, contender.ratio))
    text = "; ".join((sentences[0], *(s[0].lower() + s[1:] for s in sentences[1:])))
    return f"{text} (partial)" if timing.partial else text


def _against(name: str, conclusion: str, ratio: float | None) -> str:
    if conclusion == "not measured":
        return f"Not known whether faster than {name}"
    if ratio is None or conclusion not in ("faster", "slower"):
        return f"{conclusion.capitalize()} against {name}"
    return f"{ratio if conclusion == 'faster' else 1 / ratio:.2f}× {conclusion} than {name}"


def _figures(timing: Timing) -> list[str]:
    lines = []
    if timing.device:
        rounds = f" over {timing.rounds} rounds" if timing.rounds else ""
        lines.append(f"Medians with their 99 % intervals{rounds}, on {timing.device}.")
    if timing.speedup is not None and timing.speedup_interval is not None:
        interval = timing.speedup_interval
        lines.append(
            f"PyTorch eager takes {timing.speedup:.3f} times as long "
            f"({interval.low:.3f} – {interval.high:.3f})."
        )
    lines += [line for line in map(_preparation, timing.contenders) if line]
    if timing.verified is False:
        lines.append("This candidate is not verified: its speed says nothing until it is correct.")
    return lines


def milliseconds(value: float | None, interval: Interval | None = None) -> str:
    """A time with its interval, or that there is none."""
    if value is None:
        return "not measured"
    shown = f"{value:.4g} ms"
    return f"{shown} ({interval.low:.4g} – {interval.high:.4g})" if interval else shown


def _preparation(contender: Contender) -> str:
    """What it took before the first result, and memory; empty where there is nothing to tell."""
    parts = []
    if contender.compile_s is not None:
        parts.append(f"compiled in {contender.compile_s:.1f} s")
    if contender.autotune_s is not None:
        parts.append(f"tried configurations for {contender.autotune_s:.1f} s")
    if contender.wall_ms is not None:
        parts.append(f"one call by itself takes {contender.wall_ms:.4g} ms by the wall clock")
    if contender.peak_bytes is not None:
        parts.append(f"holds {_bytes(contender.peak_bytes)} while it runs")
    return f"{NAMES[contender.name]}: {', '.join(parts)}." if parts else ""


def _work(work: Work) -> str:
    text = (
        f"The problem reads at least {_bytes(work.read_bytes)} and writes "
        f"{_bytes(work.written_bytes)}"
    )
    if work.flops:
        text += f"; its products are {_large(work.flops, 'FLOP')} in {work.products_in}"
    return text + "."


def _bound(bound: Bound) -> str:
    rates = f"{bound.bandwidth_gb_per_s:,.0f} GB/s"
    if bound.matrix_tflop_per_s is not None:
        rates += f", {bound.matrix_tflop_per_s:,.4g} TFLOP/s"
    limit = "its memory" if bound.limited_by == "memory" else "its arithmetic"
    if bound.basis == "measured":
        how = f"by what a copy and a product reached on this GPU ({rates})"
    else:
        how = f"by its maker's figures ({rates}); a bound, not a measurement"
    return f"On {bound.gpu} it takes {bound.bound_ms:.3g} ms at least, {how}, limited by {limit}."


def _reached(timing: Timing) -> list[str]:
    lines = []
    times = (("eager", timing.eager_ms), ("compile", timing.compile_ms))
    for name, ms in (*times, ("candidate", timing.candidate_ms)):
        found = timing.achieved(ms)
        if found is None:
            continue
        text = f"{NAMES[name]} reaches {found['gb_per_s']:,.4g} GB/s"
        if found["tflop_per_s"] is not None:
            text += f" and {found['tflop_per_s']:,.4g} TFLOP/s"
        if found["fraction_of_bound"] is not None:
            text += f", {100 * found['fraction_of_bound']:.0f} % of the limit"
        lines.append(text + ".")
    return lines


def _kernels(timing: Timing) -> list[str]:
    if not timing.kernels:
        return []
    whole, share = sum(kernel.ms for kernel in timing.kernels), timing.triton_share or 0.0
    launches = sum(kernel.launches for kernel in timing.kernels)
    lines = [
        f"A call launches {launches} kernel{'' if launches == 1 else 's'} on the device; "
        f"{100 * share:.0f} % of their time is in its own Triton kernels:"
    ]
    for kernel in timing.kernels[:KERNELS_SHOWN]:
        whose = "Triton" if kernel.triton else "PyTorch or a library"
        lines.append(
            f"  {kernel.ms / whole:4.0%} {kernel.ms:.4g} ms, {kernel.launches} × {kernel.name} "
            f"({whose})"
        )
    hidden = len(timing.kernels) - KERNELS_SHOWN
    return [*lines, f"  and {hidden} more"] if hidden > 0 else lines


def _sweep(sweep: Sweep) -> list[str]:
    lines = [f"Over sizes ({sweep.axis}):"] if sweep.points else []
    if sweep.points:
        lines += _table(
            [
                ("size", *(NAMES[name] for name in ("eager", "compile", "candidate")), "", "limit"),
                *(_point(point) for point in sweep.points),
            ]
        )
    lines += [
        f"At {point.value:,}: {point.message}"
        for point in sweep.points
        if point.message and point.candidate_ms is None
    ]
    named = f"{sweep.axis}: {sweep.message}" if sweep.axis else sweep.message
    return [*lines, named] if sweep.message else lines


def _point(point: SweepPoint) -> tuple[str, ...]:
    times = (point.eager_ms, point.compile_ms, point.candidate_ms)
    verdict = point.conclusion
    if point.speedup is not None and verdict in ("faster", "slower"):
        ratio = point.speedup if verdict == "faster" else 1 / point.speedup
        verdict_words = f"{ratio:.2f}× {verdict}"
    else:
        verdict_words = verdict
    limit = "" if point.bound_ms is None else f"{point.bound_ms:.4g} ms"
    return (f"{point.value:,}", *map(milliseconds, times), verdict_words, limit)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _bytes(count: int) -> str:
    return _large(count, "B")


def _large(count: float, unit: str) -> str:
    """A count with the prefix that keeps it below a thousand."""
    for prefix in ("", "k", "M", "G", "T"):
        if count < 1000:
            return f"{count:.4g} {prefix}{unit}"
        count /= 1000
    return f"{count:.4g} P{unit}"
