#!/usr/bin/env bash
# Train as a Slurm job: tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [options of
# train.py]. GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS in the environment change the job.
set -euo pipefail
: "${4:?usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [options of train.py]}"
gpus=$4
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
exec srun --partition "$1" --job-name "$2" \
    --ntasks "$gpus" --ntasks-per-node "$per_node" --gres "gpu:$per_node" \
    --cpus-per-task "${CPUS_PER_TASK:-4}" --kill-on-bad-exit 1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$3" "${@:5}" --launcher slurm
