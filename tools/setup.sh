#!/usr/bin/env bash
# Makes .venv with everything that this checkout needs, front end included. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python: install Python 3.10 to 3.13 (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
  fail "$("$python" --version) is not supported: set PYTHON to a Python 3.10 to 3.13"
command -v node >/dev/null || fail "no Node.js: install Node 20 or newer (it builds the JupyterLab extension)"

[ -x .venv/bin/python ] || "$python" -m venv .venv ||
  fail "python -m venv failed (Debian: apt-get install python3-venv)"
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

# torch goes first and by version: a plain `torch` brings gigabytes of CUDA packages to a machine
# that has no use for them. On a GPU machine set KERNELLLM_TORCH=torch, or your own requirement.
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
  pip install --quiet "${KERNELLLM_TORCH:-torch==2.13.0}"
fi

# Reinstalled only when what it is made of has changed, so that a second run costs a second.
stamp=.venv/.kernelllm-setup
state=$({ cat pyproject.toml package.json yarn.lock tsconfig.json tools/setup.sh; find labextension -type f | sort | xargs cat; } | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$state" ] || [ ! -d kernelllm_jupyter/labextension ]; then
  pip install --quiet "jupyterlab>=4.2,<5"
  export PATH="$PWD/.venv/bin:$PATH"
  jlpm install --immutable
  jlpm build:prod
  pip install --quiet --editable ".[lab,notebook,test,dev,docs]"
  jupyter labextension develop --overwrite . >/dev/null
  printf '%s' "$state" >"$stamp"
fi
echo "setup: ready in .venv"
