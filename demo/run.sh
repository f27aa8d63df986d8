#!/usr/bin/env bash
# Run the main job end to end on a mock sky, as users would run it on their own data:
# images -> tiles -> training on 2 ranks -> accuracy on unseen images -> sweep of a mosaic.
#
#   bash demo/run.sh          (make demo sets up the environment first)
#
# Environment variables, all optional:
#   DEMO         folder for everything that is made      (default: demo/out in this clone)
#   REAL_IMAGES  folder of FITS images to sweep with the model too
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$HERE"
DEMO=${DEMO:-demo/out}
REAL_IMAGES=${REAL_IMAGES:-}
CONFIG=configs/demo.toml
TRAINING_IMAGES=20 TEST_IMAGES=4 MOSAIC_PIXELS=3000
ranks=2
if grep -qsx 'COSMODEEP_HOROVOD=no' "${VENV:-.venv}/.options"; then ranks=1; fi # training on several ranks needs Horovod
export RANKS=${RANKS:-$ranks}
STARTED=$SECONDS

# step N TITLE SCRIPT ARGUMENT...: run one of the scripts of slurm/, here without Slurm
step() {
    local number=$1 title=$2 script=$3 began=$SECONDS
    shift 3
    printf '\n[%s/7] %s\n' "$number" "$title"
    printf '      bash slurm/%s %s\n' "$script" "$*"
    bash "slurm/$script" "$@"
    printf '      %s s\n' $((SECONDS - began))
}

test_sky=(--config "$CONFIG" --test) # other boxes, other noise

rm -rf "$DEMO"
mkdir -p "$DEMO"
step 1 "mock sky to train on: 6 boxes, $TRAINING_IMAGES images (1 to 2 minutes)" mock.sh \
    --config "$CONFIG" --out "$DEMO/train" --images "$TRAINING_IMAGES"
step 1 "mock sky to test on: 6 other boxes, $TEST_IMAGES images (1 to 2 minutes)" mock.sh \
    "${test_sky[@]}" --out "$DEMO/test" --images "$TEST_IMAGES"
step 2 "labelled tiles (10 s)" tiles.sh --config "$CONFIG" --images "$DEMO/train" --out "$DEMO/tiles"
step 3 "training on $RANKS ranks (about 2 minutes)" train.sh \
    --config "$CONFIG" --tiles "$DEMO/tiles" --out "$DEMO/run"
step 4 "accuracy on images of unseen boxes (20 s)" evaluate.sh \
    --model "$DEMO/run" --images "$DEMO/test" --out "$DEMO/accuracy"
mkdir "$DEMO/mosaic"
cp -r "$DEMO/test/boxes" "$DEMO/mosaic/boxes" # the same boxes, another field: they need not be made again
step 5 "a mosaic of $MOSAIC_PIXELS x $MOSAIC_PIXELS pixels to sweep (20 s)" mock.sh \
    "${test_sky[@]}" --instrument.pixels "$MOSAIC_PIXELS" --out "$DEMO/mosaic" --first 100
mosaics=("$DEMO/mosaic/noise-00100.fits")
for image in A2744_JVLA.image.fits ScorpioExtendedSourceField.fits; do
    if [ -e "$REAL_IMAGES/$image" ]; then mosaics+=("$REAL_IMAGES/$image"); fi
done
step 6 "sweep (15 s)" classify.sh --model "$DEMO/run" --out "$DEMO/products" "${mosaics[@]}"
step 7 "the same by a model that ships, as a map of pixels (20 s)" classify.sh --model counts --out "$DEMO/map" "${mosaics[@]}"

cat <<TEXT

done in $((SECONDS - STARTED)) s. Look at
  $DEMO/accuracy/overlay-00000-sky.png    an unseen field: 1C found, 1F missed, 0F false
  $DEMO/accuracy/metrics.json             As, Ws, Wv, the counts and the precision-recall curve
  $DEMO/products/noise-00100.png          the swept mosaic with its signal tiles outlined
  $DEMO/products/noise-00100.mask.fits    its mask, on the mosaic's own pixels and WCS
  $DEMO/map/noise-00100.png               the mosaic with the pixels that the model counts finds, and zooms
  $DEMO/run/model.keras                   the model: cosmodeep classify --model $DEMO/run IMAGE...
TEXT
