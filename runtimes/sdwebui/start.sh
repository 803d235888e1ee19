#!/bin/sh
# The variables are those of the chart: PORT, CONFIG_FILE, SD_MODEL_CHECKPOINT, EXTRA_CMD_ARG.
set -e
models=/opt/ml/code/models
if [ -n "$SD_MODEL_CHECKPOINT" ]; then
    set -- --ckpt "$models/Stable-diffusion/$SD_MODEL_CHECKPOINT"
fi
# EXTRA_CMD_ARG is many arguments; the last of two that are alike counts.
# shellcheck disable=SC2086
exec /opt/venv/bin/python launch.py --skip-prepare-environment --api --nowebui --server-name 0.0.0.0 --port "$PORT" \
    --data-dir /tmp/data --ui-settings-file "$CONFIG_FILE" --no-download-sd-model \
    --ckpt-dir "$models/Stable-diffusion" --vae-dir "$models/VAE" --lora-dir "$models/Lora" \
    --embeddings-dir "$models/embeddings" --hypernetwork-dir "$models/hypernetworks" \
    --codeformer-models-path "$models/Codeformer" --gfpgan-models-path "$models/GFPGAN" \
    --esrgan-models-path "$models/ESRGAN" --realesrgan-models-path "$models/RealESRGAN" \
    "$@" $EXTRA_CMD_ARG
