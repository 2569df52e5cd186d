"""The published schema of timings, for tests of whatever prints one."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

import kernelllm_jupyter

__all__ = ["SCHEMA", "VALIDATOR"]

SCHEMA = json.loads(
    (Path(kernelllm_jupyter.__file__).parent / "schemas" / "timing.schema.json").read_text()
)
VALIDATOR = Draft202012Validator(SCHEMA)
