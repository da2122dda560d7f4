# Sourced by the *.slurm files. A shell that runs one of them puts it into Slurm's queue; Slurm then
# runs the same file as a job:
#   bash scripts/train.slurm [sbatch options] -- [options of the Python script]
# shellcheck shell=bash

# shellcheck source=scripts/site.env
source "${SITE_ENV:-scripts/site.env}"
REQUEUE=75  # exit code of the Python scripts that SIGUSR1 stopped and that saved everything

# Options before `--` go to sbatch, those after it to the Python script.
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
    # shellcheck disable=SC2206,SC2153  # SBATCH_OPTIONS, of site.env, holds several options
    site+=($SBATCH_OPTIONS)
    mkdir -p logs  # Slurm fails a job whose log has no folder without a message
    sbatch "${site[@]}" "${sbatch_options[@]}" "$@" "$script" -- "${python_options[@]}" |
        cut -d ';' -f 1  # --parsable adds the cluster's name after a semicolon
}

# Run Python on all tasks of the job. After the exit code $REQUEUE the job goes back into the queue
# under its old number.
run_python() {
    local python=(python) status=0 job=$SLURM_JOB_ID
    if [ -n "$MODULES" ]; then
        set +u  # scripts of modules read variables that are not set
        # shellcheck disable=SC2086
        module load $MODULES
        set -u
    fi
    if [ -n "$CONTAINER" ]; then
        python=(apptainer exec --nv "$CONTAINER" python)
    elif [ -n "$VENV" ]; then
        python=("$VENV/bin/python")
    fi
    # Some versions of srun do not take over the job's CPUs per task. --wait ends all tasks after
    # one has failed.
    srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --wait=120 "${python[@]}" "$@" || status=$?
    if [ "$status" -eq "$REQUEUE" ]; then
        # The job's number alone can mean the whole array.
        [ -z "${SLURM_ARRAY_TASK_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
        scontrol requeue "$job"
    fi
    return "$status"
}
