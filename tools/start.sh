#!/usr/bin/env bash
# Sets up and opens JupyterLab on the first example. Arguments go to `jupyter lab`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
root=()
[ "$(id -u)" -ne 0 ] || root=(--allow-root)
exec jupyter lab "${root[@]}" --LabApp.default_url=/lab/tree/examples/first_steps.ipynb "$@"
