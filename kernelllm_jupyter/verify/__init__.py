"""Checks and timings, in worker processes. Nothing here imports torch in the caller's process.

``check.check`` and ``benchmark.benchmark`` are the calls; docs/verification.md says what they
claim.
"""
