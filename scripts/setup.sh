# shellcheck shell=bash
# Sourced by demo.sh and test.sh: a virtual environment in .venv with what the file in $1 lists, installed once.
# PYTHON names another interpreter than python3.

requirements=$1
python_in_venv=.venv/bin/python
stamp=.venv/installed-$(basename "$requirements" .txt)
wanted=$(cat req.txt "$requirements" | cksum)

if [ ! -x "$python_in_venv" ] || ! "$python_in_venv" -c '' 2>/dev/null; then
    echo "making .venv"
    "${PYTHON:-python3}" -m venv --clear .venv
fi
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "installing $requirements (a few minutes, about 6 GB with CUDA libraries)"
    "$python_in_venv" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    echo "$wanted" > "$stamp"
fi
# Threads that wait for each other sleep: spinning ones halve the speed of a machine that does something else beside.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
