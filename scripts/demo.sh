#!/usr/bin/env bash
# Draw data, train, generate and score with the embedded nano model: minutes on two CPU cores.
# Replaces demo_run/, or the folder given as first argument, with the results.
set -euo pipefail
# shellcheck source=scripts/help.sh
source "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
source scripts/setup.sh req.txt
python=.venv/bin/python
run=${1:-demo_run}
if [ -e "$run" ] && [ ! -e "$run/.made_by_demo" ]; then
    echo "$run exists and was not made by this script: name another folder" >&2
    exit 1
fi
rm -rf "$run"
mkdir -p "$run"
touch "$run/.made_by_demo"
SECONDS=0

echo "== 1/6 draw a small FIB-SEM-like data set"
"$python" utils/make_phantoms.py "$run/data" \
    --train 240 --val 16 --test 64 --image_size 128 --seed 0
mkdir -p "$run/unseen/images" "$run/unseen/masks"  # two slices of each of the eight test stacks
for i in $(seq -f %05g 0 4 63); do
    for kind in images masks; do cp "$run/data/test/$kind/phantom_$i.png" "$run/unseen/$kind/"; done
done

echo "== 2/6 add a control branch to the embedded base"
"$python" tool_add_control.py models/nano_base.safetensors "$run/control_nano_ini.ckpt" \
    --config models/cldm_nano.yaml > "$run/add_control.log"
tail -n 1 "$run/add_control.log"

echo "== 3/6 train it"
"$python" train.py \
    --image_path "$run/data/train/images" --mask_path "$run/data/train/masks" \
    --val_image_path "$run/data/val/images" --val_mask_path "$run/data/val/masks" \
    --cldm_config_path models/cldm_nano.yaml --resume_path "$run/control_nano_ini.ckpt" \
    --batch_size 8 --learning_rate 4e-4 --max_steps 700 --crop_scale 0.7 1 --views_per_image 8 \
    --logger_freq 300 --gpus 0 --seed 0 --output_root "$run/training"
trained=$(ls -d "$run"/training/*/)

# The autoencoder drops the grain of the images; generation adds it to what it draws.
echo "== 4/6 measure the grain that the base does not keep"
"$python" utils/fit_grain.py --image_path "$run/data/train/images" \
    --config models/cldm_nano.yaml --weights models/nano_base.safetensors \
    --output "$run/grain.json" > "$run/grain.log"

echo "== 5/6 generate images for masks that training never saw"
"$python" generate.py \
    --config_yaml_path models/cldm_nano.yaml \
    --model_weights_path "${trained}EM_best_results.ckpt" \
    --mask_dir "$run/unseen/masks" --n_augmentations_per_mask 3 --batch_size_per_inference 8 \
    --sampler dpmpp --ddim_steps 20 --guess_mode --scale 4 --strength 1.5 --grain "$run/grain.json" \
    --device cpu --seed 0 --output_base_dir "$run/generated"
generated=$(ls -d "$run"/generated/run_*/)

# A segmenter trained on real images segments the generated ones; the masks are the ground truth.
echo "== 6/6 do the images show what their masks say?"
"$python" benchmarks/label_consistency.py \
    --train "$run/data/train/images" "$run/data/train/masks" \
    --test "$run/unseen/images" "$run/unseen/masks" \
    --max_steps 250 --generated "${generated}images" "${generated}masks" \
    --output "$run/label_consistency.json"

"$python" utils/compare.py "$generated" --image_path "$run/unseen/images" \
    --output "$run/demo.png" > /dev/null
echo "the demo took $((SECONDS / 60)) min $((SECONDS % 60)) s; columns of the picture:"
echo "mask | real image | three generated images"
echo "$run/demo.png"
