#!/usr/bin/env bash
# Train as a Slurm job: tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [options of
# train.py]. GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS in the environment change the job.
#
# Two minutes before its time is up, and where Slurm takes the nodes away, training saves
# and stops; the job is queued again then and goes on.
set -uo pipefail
: "${4:?usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [options of train.py]}"
gpus=$4
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
resume=() # as train.py does by itself
while :; do
    if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then # inside of a job that was queued again
        resume=(--resume auto)
    fi
    srun --partition "$1" --job-name "$2" \
        --ntasks "$gpus" --ntasks-per-node "$per_node" --gres "gpu:$per_node" \
        --cpus-per-task "${CPUS_PER_TASK:-4}" --kill-on-bad-exit=1 --signal TERM@120 \
        ${SRUN_ARGS:-} "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$3" "${@:5}" \
        ${resume[@]+"${resume[@]}"} --launcher slurm
    code=$?
    if [ "$code" -ne 75 ]; then # 75: stopped and saved
        exit "$code"
    fi
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        exec scontrol requeue "$SLURM_JOB_ID"
    fi
    echo 'queued again' >&2
    resume=(--resume auto)
done
