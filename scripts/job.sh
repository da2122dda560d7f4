# Sourced by the *.slurm files, which Slurm runs and which put themselves into the queue when a shell runs them:
#   bash scripts/train.slurm [sbatch options] -- [options of the Python script]
# shellcheck shell=bash

# shellcheck source=scripts/site.env
source "${SITE_ENV:-scripts/site.env}"
REQUEUE=75  # exit code of share.py: asked to stop by SIGUSR1, everything saved

# Everything after `--` is for the Python script; what comes before it, for sbatch.
sbatch_options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    sbatch_options+=("$1")
    shift
done
if [ $# -eq 0 ]; then
    echo "usage: bash scripts/NAME.slurm [sbatch options] -- [options of the Python script]" >&2
    exit 2
fi
shift
python_options=("$@")

# Put a script into the queue and print the job's number: submit SCRIPT [sbatch options]
submit() {
    local script=$1 site=(--parsable --export=ALL --time="$TIME")
    shift
    [ -z "$PARTITION" ] || site+=(--partition="$PARTITION")
    [ -z "$ACCOUNT" ] || site+=(--account="$ACCOUNT")
    # shellcheck disable=SC2206  # several options in one variable
    site+=($SBATCH_OPTIONS)
    mkdir -p logs  # a job whose log has no folder fails without a word
    sbatch "${site[@]}" "${sbatch_options[@]}" "$@" "$script" -- "${python_options[@]}" | cut -d ';' -f 1
}

# Run Python on all tasks of the job; after the exit code $REQUEUE the job goes back into the queue, with its number.
run_python() {
    local python=(python) status=0 job=$SLURM_JOB_ID
    if [ -n "$MODULES" ]; then
        set +u  # their scripts are not ours
        # shellcheck disable=SC2086
        module load $MODULES
        set -u
    fi
    if [ -n "$CONTAINER" ]; then
        python=(apptainer exec --nv "$CONTAINER" python)
    elif [ -n "$VENV" ]; then
        python=("$VENV/bin/python")
    fi
    # srun does not everywhere hand on the CPUs per task; --wait ends all tasks when one of them has failed.
    srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --wait=120 "${python[@]}" "$@" || status=$?
    if [ "$status" -eq "$REQUEUE" ]; then
        # The number alone would requeue the whole array where it is the array's.
        [ -z "${SLURM_ARRAY_TASK_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
        scontrol requeue "$job"
    fi
    return "$status"
}
