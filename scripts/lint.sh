#!/usr/bin/env bash
# Check the style of Python and shell files, with the versions that req-test.txt pins.
# `bash scripts/lint.sh --fix` repairs what ruff can repair first.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh req-test.txt

if [ "${1:-}" = --fix ]; then
    .venv/bin/ruff check --fix-only .
    .venv/bin/ruff format .
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/shellcheck --external-sources scripts/*.sh scripts/*.slurm .ci/run
