"""Every code that a verdict may carry, with its meaning in one line.

The one place to add a code: ``python tools/codes.py`` then writes it into the JSON schema and into
the table of ``docs/verification.md``, and a test compares all three with what the source uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["DISTURBED", "NOT_MADE", "REASONS", "SIGNAL", "WARNINGS", "known_reason"]

#: Why a candidate is not correct: verdict, then code.
REASONS: Mapping[str, Mapping[str, str]] = {
    "incorrect": {
        "wrong_values": "Elements lie outside the error budget.",
        "nan": "NaN where the reference has none, or the reverse; unwritten memory is NaN.",
        "not_finite": "Infinity where the reference has none, or the reverse.",
        "shape": "An output has another shape.",
        "dtype": "An output has another dtype.",
        "device": "An output is on another device (seen on a GPU only).",
        "structure": "`forward()` returns other outputs: more, fewer, or nested otherwise.",
        "tf32": "A float32 product is made in TF32, which is not allowed.",
    },
    "rejected": {
        "no_launch": "No Triton kernel ran.",
        "decoy_launch": "The result does not depend on the Triton kernels that ran.",
        "aten_only": "PyTorch does all of the reference's arithmetic; the Triton kernels copy, or "
        "add nothing.",
        "tampering": "The code looks into, or changes, what checks it, PyTorch or Triton.",
        "background_work": "A thread or process of the code's own works beside it.",
        "unsynchronised": "The result was not ready on the current stream (seen on a GPU only).",
        "foreign_code": "The code calls C libraries, or builds an extension.",
        "settings_changed": "`forward()` leaves a process-wide setting of PyTorch changed.",
        "host_arithmetic": "`forward()` reads its inputs' numbers and computes on the host.",
        "copies_only": "The Triton kernels only copy values; the arithmetic was done on the host.",
        "cached_result": "`forward()` keeps results instead of computing them.",
        "output_reused": "A result that was returned before changed in a later call.",
        "input_overwritten": "An input was overwritten where the reference leaves it as it was.",
        "weights_overwritten": "A weight was overwritten where the reference leaves it as it was.",
        "out_of_bounds": "A Triton kernel accesses memory outside its argument.",
        "data_race": "Two programs of a launch touch one element, and one of them writes it.",
        "foreign_output": "`forward()` returned a tensor subclass, or no tensor at all.",
    },
    "compile_error": {
        "syntax": "The code is not valid Python.",
        "no_model_new": "The code defines no `torch.nn.Module` named `ModelNew`.",
        "triton": "Triton's compiler, or its interpreter, refuses a kernel.",
        "too_large": "A launch needs more shared memory, threads or programs than the GPU takes.",
    },
    "runtime_error": {
        "exception": "The code raised an exception.",
        "exit": "The code ended its own process through `sys.exit` or an interrupt.",
        "needs_gpu": "A kernel uses what only a GPU runs (inline assembly, a device library of its "
        "own): nothing is said against it.",
    },
    "timeout": {
        "timeout": "The check did not end in its time while the candidate ran.",
        "too_large_here": "Written for one size, which is too large for the interpreter.",
    },
    "out_of_memory": {"memory": "The candidate needed more memory than it may have."},
    "crashed": {
        "exit": "The candidate's process ended itself.",
        "too_many_processes": "The candidate started too many processes or threads.",
        "too_much_written": "The candidate wrote too much into its folder.",
        "gone": "The candidate's process closed its connection to the check.",
        "garbled": "The candidate's process sent no valid result.",
    },
}
#: A candidate's process that a signal ended (verdict ``crashed``) has its name as the code.
SIGNAL = r"^sig[a-z0-9]+$"

#: What stands beside a verdict and does not change it.
WARNINGS: Mapping[str, str] = {
    "imprecise": "Outside the error budget on a variation, within `assert_close`'s defaults.",
    "weak_problem": "Zeros, a constant or the input itself would have passed as well.",
    "aten": "PyTorch still does part of the arithmetic.",
    "tf32": "A float32 `tl.dot` multiplies in TF32, which is allowed or does not show.",
    "missing_names": "The code uses names that this torch or triton no longer has; the check put "
    "them back.",
    "eval_mode": "Checked in eval mode: in training mode the module draws random numbers.",
    "eval_mode_only": "Right in eval mode only.",
    "state_not_updated": "The reference updates a buffer in `forward()`, the candidate does not.",
    "constant_buffers": "Right only while the reference's buffers hold what the constructor puts "
    "there.",
    "host_tensor": "A launch is given a tensor in the host's memory, where it fails on a GPU.",
    "input_not_updated": "The reference overwrites an input, the candidate does not.",
    "contiguous_only": "Wrong without an error where inputs are not contiguous.",
    "unusual_import": "The code imports a package that no Triton kernel needs.",
    "undefined_padding": "The result depends on masked lanes whose value the code does not say.",
    "single_shape": "Tied to the problem's own shape: it fails or is wrong at others.",
    "wrong_at_other_sizes": "Wrong without an error at other shapes than the problem's own.",
    "reduced_size": "Checked at a smaller size, the problem's own being too large for the "
    "interpreter.",
}

#: What could not be checked here.
NOT_MADE: Mapping[str, str] = {
    "compilation": "Nothing was compiled for a GPU.",
    "device": "On which device outputs are cannot be seen without a GPU.",
    "races": "Races between programs are looked for in the interpreter only.",
    "out_of_bounds": "Accesses out of bounds are tracked in the interpreter only.",
    "weights": "Weights could not be matched with the reference's, so they were not varied.",
    "sizes": "Other sizes were not tried.",
    "live_values": "Live inputs or weights have the given size, which is too large here.",
    "configurations": "Some autotuning configurations were not run, for want of time.",
    "variations": "Runs took too long for further variations.",
}

#: What spoils a timing, in its ``contamination``; docs/timing.md explains them.
DISTURBED: Mapping[str, str] = {
    "other_process": "Another process used the GPU.",
    "own_model": "A model of ours was still generating.",
    "throttled": "The GPU lowered its clock.",
    "baseline_disturbed": "PyTorch was slower beside the candidate than before it was loaded.",
    "clock_disagrees": "A call lasts longer than the candidate's process tells.",
    "outside_stream": "The GPU works on after a call, outside of the current stream.",
    "results_differ": "A timed call gave a wrong result.",
}


def known_reason(verdict: object, code: object) -> bool:
    """Whether a verdict other than ``correct`` may have ``code`` as its reason."""
    if not isinstance(verdict, str) or not isinstance(code, str):
        return False
    if verdict == "crashed" and re.fullmatch(SIGNAL, code):
        return True
    return code in REASONS.get(verdict, {})
