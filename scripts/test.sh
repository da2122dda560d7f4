#!/usr/bin/env bash
# Set up .venv and run the tests; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh req-test.txt
exec .venv/bin/python -m pytest "$@"
