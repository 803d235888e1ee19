#!/bin/sh
# The variables are those of the chart: PORT, CONFIG_FILE, SD_MODEL_CHECKPOINT, EXTRA_CMD_ARG.
set -e
models=/opt/ml/code/models
if [ -n "$SD_MODEL_CHECKPOINT" ]; then
    set -- --ckpt "$models/Stable-diffusion/$SD_MODEL_CHECKPOINT"
fi
# EXTRA_CMD_ARG is many arguments.
# shellcheck disable=SC2086
exec /opt/venv/bin/python launch.py --skip-prepare-environment --nowebui --listen --port "$PORT" \
    --data-dir /tmp/data --models-dir "$models" --embeddings-dir "$models/embeddings" \
    --ui-settings-file "$CONFIG_FILE" --no-download-sd-model \
    "$@" $EXTRA_CMD_ARG
