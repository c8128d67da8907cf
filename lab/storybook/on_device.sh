#!/usr/bin/env bash
# Train the storybook world on a GPU machine that reaches no registry: python3 with torch, numpy, safetensors and Pillow is
# all it needs. One command, from the repository's root:
#
#   bash lab/storybook/on_device.sh SECONDS OUT STEP=WEIGHT...
#   bash lab/storybook/on_device.sh 560 "$OUT" transformer=0.55 unet=0.35 oracle=0.1
#
# Each step takes its weight's share of the time that is left: a model is VAE, latents, training, file and a first look;
# the oracle is trained on the VAEs that are there, then measured. What is finished is not made again and what was cut
# off goes on, as long as the folder (STORYBOOK_FOLDER, by default in the user's cache) is still there.
# BEGIN_TRANSFORMER, BEGIN_UNET: a storybook file to begin with; its VAE is kept.
#
# OUT gets files of at most 15 MiB: storybook_*.safetensors.0, .1 ... (join them with cat, in order), oracle.safetensors,
# and results.tgz with logs, measurements and sheets. They are written after every step.
set -uo pipefail

seconds=$1 out=$2
shift 2
began=$SECONDS
folder=${STORYBOOK_FOLDER:-${XDG_CACHE_HOME:-$HOME/.cache}/attention-director/storybook}
mkdir -p "$folder" "$out"
export PYTHONUNBUFFERED=1

deliver() {
    rm -f "$out"/storybook_*.safetensors.*
    for file in "$folder"/storybook_*.safetensors; do
        [ -e "$file" ] && split -b 15M -d -a 1 "$file" "$out/$(basename "$file")."
    done
    [ -e "$folder/oracle.safetensors" ] && cp "$folder/oracle.safetensors" "$out/"
    (cd "$folder" && find . -maxdepth 1 \( -name '*.log' -o -name '*.json' -o -name 'look-*.png' \) -print0 |
        tar --null -czf "$out/results.tgz" -T -)
}

failed=0
while [ $# -gt 0 ]; do
    step=${1%%=*}
    share=$(printf '%s\n' "$@" | awk -F= -v left=$((seconds - (SECONDS - began) - 8)) \
        '{total += $2; if (NR == 1) own = $2} END {printf "%d", left * own / total}')
    shift
    begin=()
    case $step in
        transformer) model=transformer parts=(vae latents model file look) begin_file=${BEGIN_TRANSFORMER:-} ;;
        unet) model=unet parts=(vae latents model file look) begin_file=${BEGIN_UNET:-} ;;
        vae-unet|vae-transformer) model=${step#vae-} parts=(vae) begin_file= ;;
        oracle) model=transformer parts=(oracle measure) begin_file= ;;
        *) echo "on_device.sh: there is no step $step" >&2; exit 2 ;;
    esac
    [ -n "$begin_file" ] && begin=(--from "$begin_file")
    echo "== $step: $share s"
    "${PYTHON:-python3}" lab/train.py storybook --model "$model" --part "${parts[@]}" --seconds "$share" --folder "$folder" \
        "${begin[@]}" ${STORYBOOK_FLAGS:-} || failed=1
    deliver
done
echo "== $((SECONDS - began)) s in all"
exit $failed
