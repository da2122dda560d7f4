#!/usr/bin/env bash
# Everything between labelled images and the answer whether more pairs help:
#   bash scripts/proof.sh study.yaml OUT
# adapts the nano EM base to the images, trains a ControlNet for each number of labelled images,
# generates pairs of varied masks, and runs the study. In the study file, arms name the pairs as
# OUT/pairs/run_{labelled}. Where UNLABELLED names a folder, three segmenters predict masks for its
# images: OUT/pairs/predicted_{labelled}. Three that learn from these too predict them once more:
# OUT/pairs/predicted_twice_{labelled}; PREDICT_TWICE=0 leaves that out. A ControlNet that learns
# from these and the labelled pairs draws new images of their masks:
# OUT/pairs/run_predicted_twice_{labelled}, or OUT/pairs/run_predicted_{labelled} without twice;
# with VARIED=3, of the labelled masks too and of three variations of each.
# Redrawn to show the first masks, the images become OUT/pairs/run_unlabelled_{labelled}.
# CONTROL_STEPS=0 leaves out all that needs a ControlNet.
# Further variables draw the pairs of run_{labelled} once more: SCALES="1 4" with these guidance
# weights, run_{labelled}_scale_4; GRAIN=1 with the grain that the base drops, run_{labelled}_grain,
# and adds it to the images of predicted masks too;
# GATE=1 with doubtful pixels of masks marked, which training ignores, run_{labelled}_gate.
# Of the base: CONFIG, BASE, PRECISION, IMAGE_SIZE, VIEWS, {VAE,UNET}_STEPS,
# {VAE,UNET}_LEARNING_RATE, UNET_BATCH_SIZE. Of the ControlNet: CROP_SCALE, LEARNING_RATE,
# BATCH_SIZE, CONTROL_STEPS. Of its images: SCALE, COPIES (variations of each real mask),
# IMAGES_PER_MASK, ENCODE_RATIO. Of the segmenters: SEGMENTER_SEEDS, SEGMENTER_STEPS.
# A second call goes on where the first one stopped. docs/study.md
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
study=$1 out=$2
unlabelled=${UNLABELLED:-}  # folder of further images; the labelled ones are taken in any case
config=${CONFIG:-models/cldm_nano_em.yaml}
base=${BASE:-models/nano_em_base.safetensors}
precision=${PRECISION:-bf16}
control_steps=${CONTROL_STEPS:-2000}

# Share of an image's area that a training crop takes, from and to: (IMAGE_SIZE / side)^2 keeps
# the scale
read -ra crop_scale <<< "${CROP_SCALE:-0.05 0.09}"
classes=$(sed -n 's/^num_classes: *\([0-9]*\).*/\1/p' "$study")

# train_segmenter FOLDER SEED CHECKPOINT OPTION...: of the labelled images in FOLDER
train_segmenter() {
    [ ! -f "$3" ] || return 0
    "$python" utils/train_segmenter.py train --num_classes "$classes" \
        --image_path "$1/images" --mask_path "$1/masks" \
        --val_image_path "$out/split/val/images" --val_mask_path "$out/split/val/masks" \
        --encoder resnet18 --augmentation strong --batch_size 8 --validations 8 \
        --precision "$precision" \
        --max_steps "${SEGMENTER_STEPS:-800}" --seed "$2" --output "$3" "${@:4}"
}

# predict FOLDER SEGMENTER...: pairs of the unlabelled images and their predicted masks
predict() {
    [ -d "$1" ] || "$python" utils/predict_masks.py "${@:2}" "$unlabelled" "$1" --copy_images
}

# Starting weights of all ControlNets: a base that has seen the images, and its grain
make_start() {
    if [ ! -d "$out/images" ]; then
        mkdir -p "$out/images.new"
        cp "$out/split/train_$most/images/"* "$out/images.new/"
        [ -z "$unlabelled" ] || cp "$unlabelled"/* "$out/images.new/"
        mv "$out/images.new" "$out/images"
    fi
    if [ ! -f "$out/base.safetensors" ]; then
        "$python" utils/pretrain_base.py --config "$config" --init "$base" \
            --image_path "$out/images" --vae_steps "${VAE_STEPS:-1000}" --kl_weight 1e-6 \
            --vae_learning_rate "${VAE_LEARNING_RATE:-8e-4}" --vae_batch_size 12 \
            --unet_steps "${UNET_STEPS:-1000}" --image_size "${IMAGE_SIZE:-128}" \
            --unet_learning_rate "${UNET_LEARNING_RATE:-4e-4}" \
            --unet_batch_size "${UNET_BATCH_SIZE:-16}" --views_per_image "${VIEWS:-30}" \
            --ema_decay 0.995 \
            --precision "$precision" --output "$out/base.safetensors"
    fi
    if [ -n "${GRAIN:-}" ] && [ ! -f "$out/grain.json" ]; then
        "$python" utils/fit_grain.py --config "$config" --weights "$out/base.safetensors" \
            --image_path "$out/split/train_$most/images" --output "$out/grain.json"
    fi
    if [ ! -f "$out/ini.ckpt" ]; then
        "$python" tool_add_control.py "$out/base.safetensors" "$out/ini.ckpt" --config "$config"
    fi
}

# train_control FOLDER RUN; one that has ended stays as it is
train_control() {
    ! grep -qs '"state": "done"' "$out/training/$2/progress.json" || return 0
    "$python" train.py --cldm_config_path "$config" --resume_path "$out/ini.ckpt" \
        --image_path "$1/images" --mask_path "$1/masks" \
        --val_image_path "$out/split/val/images" --val_mask_path "$out/split/val/masks" \
        --num_classes "$classes" --init_extra_hint zeros --crop_scale "${crop_scale[@]}" \
        --batch_size "${BATCH_SIZE:-8}" --learning_rate "${LEARNING_RATE:-4e-4}" \
        --max_steps "$control_steps" \
        --max_epochs 1000000 --validate_every 200 --ema_decay 0.99 --sd_locked false \
        --precision "$precision" --output_root "$out/training" --run_id "$2"
}

# draw TRAINING RUN OPTION...: pairs by the best weights of a ControlNet; the last option wins
draw() {
    "$python" generate.py --config_yaml_path "$config" --pad --num_classes "$classes" \
        --model_weights_path "$out/training/$1/EM_best_results.ckpt" \
        --sampler dpmpp --ddim_steps 20 --guess_mode --scale "${SCALE:-2.5}" --strength 1.5 \
        --n_augmentations_per_mask "${IMAGES_PER_MASK:-1}" --precision "$precision" \
        --seed 0 --output_base_dir "$out/pairs" --run_id "$2" "${@:3}"
}

# vary FOLDER NAME COPIES: the masks of pairs and variations of each, in masks_NAME
vary() {
    local masks=$out/masks_$2
    [ ! -d "$masks" ] || return 0
    [ -d "$out/varied_$2" ] || "$python" utils/vary_masks.py "$1/masks" "$out/varied_$2" \
        --num_classes "$classes" --copies "$3"
    mkdir -p "$masks.new"
    cp "$1/masks/"* "$out/varied_$2/masks/"* "$masks.new/"
    mv "$masks.new" "$masks"
}

# draw_all FOLDER NUMBER JUDGE: pairs of the real masks and of their variations
draw_all() {
    local masks=$out/masks_$2
    vary "$1" "$2" "${COPIES:-3}"
    draw "$2" "$2" --mask_dir "$masks"
    for scale in ${SCALES:-}; do
        draw "$2" "$2_scale_$scale" --mask_dir "$masks" --scale "$scale"
    done
    if [ -n "${GRAIN:-}" ]; then
        draw "$2" "$2_grain" --mask_dir "$masks" --grain "$out/grain.json"
    fi
    if [ -n "${GATE:-}" ]; then
        draw "$2" "$2_gate" --mask_dir "$masks" --gate_segmenter "$3" --ignore_ratio 1.25 \
            --gate_pairs "$out/split/val/images" "$out/split/val/masks"
    fi
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

# draw_predicted FOLDER PREDICTED: new images of predicted masks; with VARIED, of variations too
draw_predicted() {
    local name pairs part file masks=$2/masks grain=()
    name=$(basename "$2")  # other predictions, another ControlNet
    pairs=$out/pairs/learned_$name
    if [ ! -d "$pairs" ]; then
        rm -rf "$pairs.new"
        mkdir -p "$pairs.new/images" "$pairs.new/masks"
        # The labelled pairs come last: of an image that is in both, the true mask stays.
        for part in images masks; do
            cp "$2/$part/"* "$pairs.new/$part/"
            for file in "$1/$part/"*; do replace "$file" "$pairs.new/$part"; done
        done
        mv "$pairs.new" "$pairs"
    fi
    train_control "$pairs" "$name"
    [ -z "${GRAIN:-}" ] || grain=(--grain "$out/grain.json")
    if [ "${VARIED:-0}" != 0 ]; then
        vary "$pairs" "$name" "$VARIED"
        masks=$out/masks_$name
    fi
    draw "$name" "$name" --mask_dir "$masks" "${grain[@]}"
}

# The folders that arms may name, known before hours of work
pairs_to_come() {
    local last="predicted_{labelled}" scale
    if [ -n "$unlabelled" ]; then
        echo "$last"
        if [ "${PREDICT_TWICE:-1}" != 0 ]; then
            last="predicted_twice_{labelled}"
            echo "$last"
        fi
    fi
    [ "$control_steps" != 0 ] || return 0
    echo "run_{labelled}"
    for scale in ${SCALES:-}; do echo "run_{labelled}_scale_$scale"; done
    [ -z "${GRAIN:-}" ] || echo "run_{labelled}_grain"
    [ -z "${GATE:-}" ] || echo "run_{labelled}_gate"
    [ -z "$unlabelled" ] || printf '%s\n' "run_$last" "run_unlabelled_{labelled}"
}

if [ ! -d "$out/split" ]; then
    mapfile -t to_come < <(pairs_to_come)
    "$python" utils/augmentation_study.py "$study" --write_split "$out/split" \
        --pairs_to_come "${to_come[@]/#/"$out/pairs/"}"
fi
most=$(find "$out/split" -maxdepth 1 -name 'train_*' | sed 's/.*train_//' | sort -n | tail -n 1)
[ "$control_steps" = 0 ] || make_start

for folder in "$out"/split/train_*; do
    number=$(basename "$folder" | sed 's/train_//')
    segmenters=()
    for seed in ${SEGMENTER_SEEDS:-100 101 102}; do
        segmenters+=("$out/segmenter_${number}_$seed.ckpt")
        # All of them predict masks; one is enough to judge pairs
        if [ -n "$unlabelled" ] || { [ -n "${GATE:-}" ] && [ ${#segmenters[@]} = 1 ]; }; then
            train_segmenter "$folder" "$seed" "${segmenters[-1]}"
        fi
    done
    predicted=$out/pairs/predicted_$number
    [ -z "$unlabelled" ] || predict "$predicted" "${segmenters[@]}"
    best=$predicted
    if [ -n "$unlabelled" ] && [ "${PREDICT_TWICE:-1}" != 0 ]; then
        students=()
        for seed in ${SEGMENTER_SEEDS:-100 101 102}; do
            students+=("$out/segmenter_${number}_${seed}_twice.ckpt")
            train_segmenter "$folder" "$seed" "${students[-1]}" --mix real=1 synthetic=1 \
                --synthetic_image_path "$predicted/images" --synthetic_mask_path "$predicted/masks"
        done
        best=$out/pairs/predicted_twice_$number
        predict "$best" "${students[@]}"
    fi
    [ "$control_steps" != 0 ] || continue
    train_control "$folder" "$number"
    draw_all "$folder" "$number" "${segmenters[0]}"
    if [ -n "$unlabelled" ]; then
        draw_predicted "$folder" "$best"
        draw "$number" "unlabelled_$number" --mask_dir "$predicted/masks" \
            --image_path "$unlabelled" --encode_ratio "${ENCODE_RATIO:-0.6}"
    fi
done

"$python" utils/augmentation_study.py "$study" --output "$out/study"
