#!/usr/bin/env bash
# Train on several GPUs: tools/dist_train.sh CONFIG GPUS [options of train.py]
# On several machines run it on each, with NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT.
set -euo pipefail
: "${2:?usage: tools/dist_train.sh CONFIG GPUS [options of train.py]}"
exec "${PYTHON:-python}" "$(dirname "$0")/launch.py" --nproc-per-node "$2" \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}" \
    "$(dirname "$0")/train.py" "$1" "${@:3}" --launcher pytorch
