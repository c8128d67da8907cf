#!/usr/bin/env bash
# Train the storybook world on a GPU machine that reaches no registry: python3 with torch, numpy, safetensors and Pillow is
# all it needs. One command, from the repository's root:
#
#   bash lab/storybook/on_device.sh SECONDS OUT STEP=WEIGHT...
#   bash lab/storybook/on_device.sh 580 "$OUT" warm=0 vae-unet=6 oracle=11 unet=80 gates=4
#
# The UNet first: 103 seconds of an H100 were not enough for it (0.22 s a step), and "warm" leaves a profile of a step.
#
# Each step takes its weight's share of the time that is left. What is finished is not made again and what was cut off
# goes on, as long as the folder (STORYBOOK_FOLDER, by default in the user's cache) is still there. A step "more-unet" or
# "more-transformer" begins a new training at the weights that are there.
# BEGIN_TRANSFORMER, BEGIN_UNET: a storybook file to begin with; its VAE is kept.
#
# OUT gets at most seven files of at most 15 MiB: storybook_*.safetensors.gz.0, .1 (join them with cat, in order, and
# gunzip), oracle.safetensors, and results.tgz with logs, measurements and sheets. They are written after every step.
set -uo pipefail

seconds=$1 out=$2
shift 2
began=$SECONDS
folder=${STORYBOOK_FOLDER:-${XDG_CACHE_HOME:-$HOME/.cache}/attention-director/storybook}
mkdir -p "$folder" "$out"
export PYTHONUNBUFFERED=1

train() { # model, seconds, further arguments
    "${PYTHON:-python3}" lab/train.py storybook --model "$1" --seconds "$2" --folder "$folder" "${@:3}" \
        ${STORYBOOK_FLAGS:-} || failed=1
}

deliver() {
    rm -f "$out"/storybook_*
    for file in "$folder"/storybook_*.safetensors; do
        [ -e "$file" ] && gzip -4 -c "$file" | split -b 15M -d -a 1 - "$out/$(basename "$file").gz."
    done
    [ -e "$folder/oracle.safetensors" ] && cp "$folder/oracle.safetensors" "$out/"
    (cd "$folder" && find . -maxdepth 1 \( -name '*.log' -o -name '*.json' -o -name '*.jpg' -o -name '*.txt' \) -print0 |
        tar --null -czf "$out/results.tgz" -T -)
}

step() { # name, seconds
    local model=${1#*-} begin=()
    case $1 in
        transformer|vae-transformer) begin=(${BEGIN_TRANSFORMER:+--from "$BEGIN_TRANSFORMER"}) ;;
        unet|vae-unet) begin=(${BEGIN_UNET:+--from "$BEGIN_UNET"}) ;;
    esac
    case $1 in
        transformer|unet) train "$1" "$2" --part vae latents model file "${begin[@]}" ;;
        vae-*) train "$model" "$2" --part vae "${begin[@]}"
            [ $failed = 0 ] || { echo "on_device.sh: the first training failed; stopped" >&2; exit 1; } ;;
        warm) (train transformer 200 --part warm; train unet 200 --part warm) >"$folder/warm.log" 2>&1 & ;;
        more-*) mv "$folder/storybook_$model.safetensors" "$folder/before.safetensors"
            rm -f "$folder/$model.safetensors" "$folder/gate-$model.json"
            train "$model" "$2" --part model file --from "$folder/before.safetensors" ;;
        oracle) train transformer "$2" --part oracle measure ;;
        gates) train transformer "$2" --part gate; train unet "$2" --part gate ;;
        *) echo "on_device.sh: there is no step $1" >&2; exit 2 ;;
    esac
}

failed=0
while [ $# -gt 0 ]; do
    name=${1%%=*}
    share=$(printf '%s\n' "$@" | awk -F= -v left=$((seconds - (SECONDS - began) - 12)) \
        '{total += $2; if (NR == 1) own = $2} END {printf "%d", total ? left * own / total : 0}')
    shift
    echo "== $name: $share s"
    step "$name" "$share"
    [ "$name" = warm ] || deliver
done
echo "== $((SECONDS - began)) s in all"
exit $failed
