#!/usr/bin/env bash
# Set up .venv and run the tests; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh req-test.txt
# Two processes of one thread each: few tests gain by a second thread. A process takes up to 5 GB.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
