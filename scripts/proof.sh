#!/usr/bin/env bash
# Everything between labelled images and the answer whether more pairs help:
#   bash scripts/proof.sh study.yaml OUT
# makes the pairs that arms of the study name, and runs the study. docs/study.md ("From labelled
# images to the answer") describes the pairs, such as OUT/pairs/run_{labelled}, and the variables
# that change them, such as UNLABELLED. The script lists all variables with their defaults below
# this head. Paths, those in the study file too, begin at the project's folder.
# A second call goes on where the first one stopped. Arms may be added; with another split, other
# variables, other options of the segmenters or other images without labels it ends.
set -euo pipefail
# shellcheck source=scripts/help.sh
source "$(dirname "$0")/help.sh"
for name in CROP_SCALE GRAIN GATE PREDICT_TWICE; do
    if [ -n "${!name:-}" ]; then
        echo "$name is no variable of this script any more; --help tells what took its place" >&2
        exit 2
    fi
done
if [ $# != 2 ]; then
    echo "usage: bash scripts/proof.sh study.yaml OUT; --help tells more" >&2
    exit 2
fi
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
study=$1 out=$2
UNLABELLED=${UNLABELLED:-}

# Variables and their defaults
UNLABELLED=${UNLABELLED%/}  # folder of further images; the labelled ones are taken in any case
: "${SCALES:=}"  # guidance weights that endings may name; those without such an ending have SCALE
# Of the base and its adaptation to the images
: "${CONFIG:=models/cldm_nano_em.yaml}" "${BASE:=models/nano_em_base.safetensors}"
# Of all trainings and images, but for a `precision` of the study file; bf16 where products are
# faster in it, else 32
: "${PRECISION:=}"
: "${IMAGE_SIZE:=128}"  # side of the crops that base and ControlNet learn from
: "${VIEWS:=30}"  # random crops of each image
: "${VAE_STEPS:=1000}" "${VAE_LEARNING_RATE:=8e-4}"  # of the autoencoder; 0 steps leave it
: "${UNET_STEPS:=2400}" "${UNET_LEARNING_RATE:=4e-4}" "${UNET_BATCH_SIZE:=16}"
# Of the ControlNets
: "${CONTROL_STEPS:=2000}" "${LEARNING_RATE:=4e-4}" "${BATCH_SIZE:=8}"
: "${SD_LOCKED:=false}"  # true: the base's decoder stays as it is
# Sides of a crop in pixels of the image: about those of the base's
: "${CROP_PIXELS:=$((IMAGE_SIZE * 9 / 10)) $((IMAGE_SIZE * 12 / 10))}"
# Of their images
: "${COPIES:=3}" "${VARIED:=0}"  # variations of each labelled mask, of each learned mask
: "${OBJECTS:=}"  # classes of organelles, which variations move, remove and insert
: "${SCALE:=2}" "${IMAGES_PER_MASK:=1}"
: "${ENCODE_RATIO:=0.6}"  # of redrawn images
# Of the segmenters that predict masks; as many steps as those of the study if none are given. All
# else is as the study file says under `segmenter`.
: "${SEGMENTER_SEEDS:=100 101 102}" "${SEGMENTER_STEPS:=}"
# What must not change between two calls, with classes, segmenter and images without labels
fixed=(UNLABELLED CONFIG BASE PRECISION IMAGE_SIZE VIEWS VAE_STEPS VAE_LEARNING_RATE UNET_STEPS
    UNET_LEARNING_RATE UNET_BATCH_SIZE CONTROL_STEPS LEARNING_RATE BATCH_SIZE SD_LOCKED CROP_PIXELS
    COPIES VARIED OBJECTS SCALE IMAGES_PER_MASK ENCODE_RATIO SEGMENTER_SEEDS SEGMENTER_STEPS)

read -ra seeds <<< "$SEGMENTER_SEEDS"
read -ra objects <<< "$OBJECTS"
read -ra crop_pixels <<< "$CROP_PIXELS"
endings=()
for scale in "" $SCALES; do
    for kind in "" _grain _gate _grain_gate; do endings+=("$kind${scale:+_scale_$scale}"); done
done

# Classes of a study, steps of its segmenters, the faster precision of this machine, and options of
# the segmenters as words
facts='
import sys
from core.hardware.bf16 import multiplies_bf16
from core.hardware.device_options import pick_device
from core.yaml_files import read_yaml
from segmentation.study.config import FREE, MAX_STEPS
study = read_yaml(sys.argv[1])
faster = "bf16" if multiplies_bf16(pick_device("auto").type) else "32"
options = dict(study.get("segmenter") or {})
print(study.num_classes, options.pop("max_steps", None) or MAX_STEPS, faster, end=" ")
print(*(f"--{name} {value}" for name, value in options.items()
        if name not in FREE and value is not None))
'

# checksum_of_files FOLDER: of names and contents
checksum_of_files() {
    (cd "$1" && find -L . -maxdepth 1 -type f ! -name '.*' -exec sha256sum {} + | LC_ALL=C sort) |
        sha256sum | cut -d ' ' -f 1
}

# Note the seconds of the step that ends, or was interrupted, in OUT/costs.tsv
step=
note_cost() {
    [ -z "$step" ] ||
        printf '%d\t%s\n' "$((SECONDS - began))" "${step//$'\t'/ }" >> "$out/costs.tsv"
    step=
}
trap note_cost EXIT

# Title of the step that begins
announce() {
    note_cost
    step=$* began=$SECONDS
    printf '\n== %s\n' "$*"
}

# The pairs that this script can make
possible() {
    local kind kinds=("")
    if [ -n "$UNLABELLED" ]; then
        printf '%s\n' "predicted_{labelled}" "predicted_twice_{labelled}"
        kinds+=(predicted_ predicted_twice_ unlabelled_)
    fi
    for kind in "${kinds[@]}"; do printf '%s\n' "${endings[@]/#/"run_$kind{labelled}"}"; done
}

# wanted PATTERN...: an arm of the study names pairs like these
wanted() {
    local pattern name
    for pattern in "$@"; do
        for name in "${needed[@]}"; do
            # shellcheck disable=SC2053  # a pattern, not a text
            [[ $name != $pattern ]] || return 0
        done
    done
    return 1
}

# Starting weights of all ControlNets: a base that has seen the images, and its grain
make_start() {
    if [ ! -d "$out/images" ]; then
        mkdir -p "$out/images.new"
        cp "$out/split/train_$most/images/"* "$out/images.new/"
        if [ -n "$UNLABELLED" ]; then
            find -L "$UNLABELLED" -maxdepth 1 -type f -exec cp -t "$out/images.new" {} +
        fi
        mv "$out/images.new" "$out/images"
    fi
    if [ ! -f "$out/base.safetensors" ]; then
        announce "base: $BASE learns from $out/images"
        "$python" utils/pretrain_base.py --config "$CONFIG" --init "$BASE" \
            --image_path "$out/images" --vae_steps "$VAE_STEPS" --kl_weight 1e-6 \
            --vae_learning_rate "$VAE_LEARNING_RATE" --vae_batch_size 12 \
            --unet_steps "$UNET_STEPS" --image_size "$IMAGE_SIZE" \
            --unet_learning_rate "$UNET_LEARNING_RATE" \
            --unet_batch_size "$UNET_BATCH_SIZE" --views_per_image "$VIEWS" \
            --ema_decay 0.995 \
            --precision "$PRECISION" --output "$out/base.safetensors"
    fi
    if wanted "*_grain*" && [ ! -f "$out/grain.json" ]; then
        announce "grain that the base drops"
        "$python" utils/fit_grain.py --config "$CONFIG" --weights "$out/base.safetensors" \
            --image_path "$out/split/train_$most/images" --output "$out/grain.json"
    fi
    if [ ! -f "$out/ini.ckpt" ]; then
        announce "base with an untrained ControlNet"
        "$python" tool_add_control.py "$out/base.safetensors" "$out/ini.ckpt" --config "$CONFIG"
    fi
}

# The functions below work on one number of labelled images, $number; their pairs are in $labelled.

# train_segmenter SEED "" or _twice OPTION...: of the labelled images; its path in $checkpoint
train_segmenter() {
    checkpoint=$out/segmenter_${number}_$1$2.ckpt
    [ ! -f "$checkpoint" ] || return 0
    announce "segmenter of $number labelled images: $checkpoint"
    "$python" utils/train_segmenter.py train --num_classes "$classes" \
        --image_path "$labelled/images" --mask_path "$labelled/masks" \
        --val_image_path "$out/split/val/images" --val_mask_path "$out/split/val/masks" \
        --precision "$PRECISION" "${segmenter_options[@]}" \
        --max_steps "$SEGMENTER_STEPS" --seed "$1" --output "$checkpoint" "${@:3}"
}

# predict "" or _twice OPTION...: pairs of the unlabelled images and their predicted masks
predict() {
    local pairs=$out/pairs/predicted$1_$number checkpoints=() seed
    for seed in "${seeds[@]}"; do
        train_segmenter "$seed" "$@"
        checkpoints+=("$checkpoint")
    done
    [ ! -d "$pairs" ] || return 0
    announce "masks of $UNLABELLED: $pairs"
    "$python" utils/predict_masks.py "${checkpoints[@]}" "$UNLABELLED" "$pairs" --copy_images
}

# train_control PAIRS RUN; one that has ended stays as it is
train_control() {
    ! grep -qs '"state": "done"' "$out/training/$2/progress.json" || return 0
    announce "ControlNet of the pairs in $1: $out/training/$2"
    "$python" train.py --cldm_config_path "$CONFIG" --resume_path "$out/ini.ckpt" \
        --image_path "$1/images" --mask_path "$1/masks" \
        --val_image_path "$out/split/val/images" --val_mask_path "$out/split/val/masks" \
        --num_classes "$classes" --init_extra_hint zeros \
        --image_size "$IMAGE_SIZE" --crop_pixels "${crop_pixels[@]}" \
        --batch_size "$BATCH_SIZE" --learning_rate "$LEARNING_RATE" \
        --max_steps "$CONTROL_STEPS" \
        --max_epochs 1000000 --validate_every 200 --ema_decay 0.99 --sd_locked "$SD_LOCKED" \
        --precision "$PRECISION" --output_root "$out/training" --run_id "$2"
}

# draw KIND RUN OPTION...: pairs by the best weights of a ControlNet, with each ending that is wanted
draw() {
    local ending options
    for ending in "${endings[@]}"; do
        wanted "run_$1{labelled}$ending" || continue
        options=(--scale "$SCALE")
        [[ $ending != *_scale_* ]] || options=(--scale "${ending##*_scale_}")
        [[ $ending != *_grain* ]] || options+=(--grain "$out/grain.json")
        if [[ $ending = *_gate* ]]; then
            train_segmenter "${seeds[0]}" ""
            options+=(--gate_segmenter "$checkpoint" --ignore_ratio 1.25
                --gate_pairs "$out/split/val/images" "$out/split/val/masks")
        fi
        announce "images: $out/pairs/run_$1$number$ending"
        "$python" generate.py --config_yaml_path "$CONFIG" --pad --num_classes "$classes" \
            --model_weights_path "$out/training/$2/EM_best_results.ckpt" \
            --sampler dpmpp --ddim_steps 20 --guess_mode --strength 1.5 \
            --n_augmentations_per_mask "$IMAGES_PER_MASK" --precision "$PRECISION" \
            --seed 0 --output_base_dir "$out/pairs" --run_id "$1$number$ending" \
            "${options[@]}" "${@:3}"
    done
}

# vary PAIRS NAME COPIES: their masks and variations of each, in masks_NAME
vary() {
    local masks=$out/masks_$2
    [ ! -d "$masks" ] || return 0
    announce "varied masks: $masks"
    [ -d "$out/varied_$2" ] || "$python" utils/vary_masks.py "$1/masks" "$out/varied_$2" \
        --num_classes "$classes" --copies "$3" ${objects[@]:+--objects "${objects[@]}"}
    mkdir -p "$masks.new"
    cp "$1/masks/"* "$out/varied_$2/masks/"* "$masks.new/"
    mv "$masks.new" "$masks"
}

# replace FILE FOLDER: copy a file; others of the same name there go, whatever their suffix
replace() {
    local name other
    name=$(basename "$1")
    for other in "$2/${name%.*}".*; do
        [ "${other%.*}" != "$2/${name%.*}" ] || rm -f "$other"
    done
    cp "$1" "$2/"
}

# draw_predicted KIND: by a ControlNet of the labelled and the predicted pairs
draw_predicted() {
    local name=$1$number pairs=$out/pairs/learned_$1$number part file masks
    if [ ! -d "$pairs" ]; then
        rm -rf "$pairs.new"
        mkdir -p "$pairs.new/images" "$pairs.new/masks"
        # The labelled pairs come last: of an image that is in both, the true mask stays.
        for part in images masks; do
            cp "$out/pairs/$name/$part/"* "$pairs.new/$part/"
            for file in "$labelled/$part/"*; do replace "$file" "$pairs.new/$part"; done
        done
        mv "$pairs.new" "$pairs"
    fi
    train_control "$pairs" "$name"
    masks=$out/pairs/$name/masks
    if [ "$VARIED" != 0 ]; then
        vary "$pairs" "$name" "$VARIED"
        masks=$out/masks_$name
    fi
    draw "$1" "$name" --mask_dir "$masks"
}

# Every call checks the arms; an assignment, since its error ends the script
mapfile -t folders < <(possible)
named=$("$python" utils/augmentation_study.py "$study" \
    ${UNLABELLED:+--unlabelled "$UNLABELLED"} --pairs_to_come "${folders[@]/#/"$out/pairs/"}")
mapfile -t needed <<< "$named"
needed=("${needed[@]##*/}")
facts=$("$python" -c "$facts" "$study")
read -r classes study_steps faster segmenter <<< "$facts"
read -ra segmenter_options <<< "$segmenter"
: "${SEGMENTER_STEPS:=$study_steps}"
# A folder goes on as it was begun, on another machine too
: "${PRECISION:=$(sed -n 's/^PRECISION=//p' "$out/variables" 2>/dev/null || true)}"
: "${PRECISION:=$faster}"
now=$(
    for name in classes segmenter "${fixed[@]}"; do echo "$name=${!name}"; done
    [ -z "$UNLABELLED" ] || echo "images of UNLABELLED: $(checksum_of_files "$UNLABELLED")"
)
if [ -d "$out/split" ] && ! grep -qs '^segmenter=' "$out/variables"; then
    echo "$out was begun by another version of this script: name another folder" >&2
    exit 2
elif [ ! -f "$out/variables" ]; then
    mkdir -p "$out"
    echo "$now" > "$out/variables.new"
    mv "$out/variables.new" "$out/variables"
elif ! changed=$(diff "$out/variables" - <<< "$now"); then
    echo "$out was begun with other variables (<) than these (>). Name another folder, or delete" \
        "$out/variables, $out/split and all else that was made with the old ones" >&2
    grep '^[<>]' <<< "$changed" >&2
    exit 2
fi
announce "split: $out/split"
"$python" utils/augmentation_study.py "$study" --write_split "$out/split"
most=$(find "$out/split" -maxdepth 1 -name 'train_*' | sed 's/.*train_//' | sort -n | tail -n 1)
if wanted "run_*"; then make_start; fi

for labelled in "$out"/split/train_*; do
    number=${labelled##*train_}
    if wanted "*predicted_*" "run_unlabelled_*"; then
        predict ""
    fi
    if wanted "*predicted_twice_*"; then
        once=$out/pairs/predicted_$number
        predict _twice --mix real=1 synthetic=1 \
            --synthetic_image_path "$once/images" --synthetic_mask_path "$once/masks"
    fi
    if wanted "run_{labelled}*" "run_unlabelled_*"; then
        train_control "$labelled" "$number"
    fi
    if wanted "run_{labelled}*"; then
        vary "$labelled" "$number" "$COPIES"
        draw "" "$number" --mask_dir "$out/masks_$number"
    fi
    for kind in predicted_ predicted_twice_; do
        if wanted "run_$kind{labelled}*"; then draw_predicted "$kind"; fi
    done
    if wanted "run_unlabelled_*"; then
        draw unlabelled_ "$number" --mask_dir "$out/pairs/predicted_$number/masks" \
            --image_path "$UNLABELLED" --encode_ratio "$ENCODE_RATIO"
    fi
done

announce "study: $out/study"
"$python" utils/augmentation_study.py "$study" --output "$out/study"
note_cost
echo "minutes of each step, over all calls ($out/costs.tsv):"
awk -F '\t' '{ sum[$2] += $1 } END { for (s in sum) printf "%7.1f  %s\n", sum[s] / 60, s }' \
    "$out/costs.tsv" | sort -rn
