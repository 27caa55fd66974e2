#!/usr/bin/env bash
# Test on several GPUs: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# On several machines run it on each, with NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT.
set -euo pipefail
: "${3:?usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]}"
exec "${PYTHON:-python}" "$(dirname "$0")/launch.py" --nproc-per-node "$3" \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}" \
    "$(dirname "$0")/test.py" "$1" "$2" "${@:4}" --launcher pytorch
