# shellcheck shell=bash
# Sourced by demo.sh, lint.sh and test.sh: makes .venv and installs what the file in $1 lists.
# Installs once, and again when a list or pyproject.toml changes.
# PYTHON names another interpreter than python3. CUDA=12 takes the older packages of the lists that
# end in -cu12.txt; use another clone for each of the two.

requirements=$1
if [ "${CUDA:-13}" = 12 ]; then requirements=${1%.txt}-cu12.txt; fi
python_in_venv=.venv/bin/python
stamp=.venv/installed-$(basename "$requirements" .txt)
wanted=$(cat pyproject.toml req*.txt | cksum)

if [ ! -x "$python_in_venv" ] || ! "$python_in_venv" -c '' 2>/dev/null; then
    echo "making .venv"
    "${PYTHON:-python3}" -m venv --clear .venv
fi
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "installing $requirements (a few minutes, about 6 GB with CUDA libraries)"
    "$python_in_venv" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    echo "$wanted" > "$stamp"
fi
# Waiting threads sleep. Spinning ones halve the speed of a machine that does other work.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
