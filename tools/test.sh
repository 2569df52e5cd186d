#!/usr/bin/env bash
# Sets up and runs everything that has to pass: linters, type checkers, the docs, unit and browser
# tests. `tools/test.sh python` (or lint, docs, typescript, browser) runs one part.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1

lint() {
  ruff check .
  ruff format --check .
  mypy
  jlpm lint:check
}
docs() {
  # Nothing is fetched, and a broken reference is an error.
  sphinx-build -q -E -n -W --keep-going -b html docs docs/_build/html
  echo "docs: docs/_build/html/index.html"
}
typescript() { jlpm test; }
python_tests() {
  # Files stay whole, because some share a server; the corpus shares out its own.
  pytest -n auto --maxprocesses 4 --dist loadfile tests/python
  pytest tests/verification
}
browser() {
  if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && apt-get install -y -qq chromium >/dev/null
    else
      echo "test: no Chromium: install it, or set CHROMIUM to its path" >&2
      exit 1
    fi
  fi
  # Each of the two has servers and a browser of its own, and waits for them most of the time.
  pytest -n 2 tests/browser
}

# Side by side, because each of them keeps one core busy; what they say is shown one by one.
together() {
  local part folder failed=0
  local -A running
  folder=$(mktemp -d)
  for part in "$@"; do
    "$part" >"$folder/$part" 2>&1 &
    running[$part]=$!
  done
  for part in "$@"; do
    wait "${running[$part]}" || failed=1
    cat "$folder/$part"
  done
  rm -r "$folder"
  return $failed
}

case "${1:-all}" in
  all) together lint docs typescript; browser; python_tests ;;
  python) python_tests ;;
  lint | docs | typescript | browser) "$1" ;;
  *) echo "usage: tools/test.sh [lint|docs|typescript|python|browser]" >&2; exit 2 ;;
esac
