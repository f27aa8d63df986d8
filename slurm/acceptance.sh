#!/bin/bash
# Run and time all stages on the ranks of a job, on its GPUs where it has some, and pack a report to send back:
#   sbatch --gpus-per-node=4 --ntasks-per-node=4 --cpus-per-task=8 slurm/acceptance.sh --out acceptance
#   bash slurm/acceptance.sh --out acceptance
# Takes some 20 minutes; `--images N` and `--pixels N` (a side) make it shorter or longer. A part that fails is told, and
# the others are run all the same. The status is 0 where all went well.
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=acceptance
#SBATCH --output=%x-%j.log       # in the folder of submission
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2      # ranks on a node; with GPUs one rank a GPU
#SBATCH --cpus-per-task=4        # cores and threads of a rank
##SBATCH --gpus-per-node=2       # where there are GPUs: as many as ranks on a node
#SBATCH --time=01:00:00
#SBATCH --no-requeue
##SBATCH --account=NAME          # if your site needs it; remove one # to use the line
##SBATCH --partition=NAME

home=$(dirname "$0")/..                                      # run by bash; sbatch runs a copy elsewhere
[ -f "$home/slurm/launch.sh" ] || home=${SLURM_SUBMIT_DIR:-} # submitted from the project's folder
home=${COSMODEEP_HOME:-$home}
if [ ! -f "$home/slurm/launch.sh" ]; then
    echo "no slurm/launch.sh in '$home': submit from the project's folder, or set COSMODEEP_HOME" >&2
    exit 2
fi
# shellcheck source=slurm/launch.sh
source "$home/slurm/launch.sh"

out='' images=4 pixels=2000
while [ $# -gt 0 ]; do
    case $1 in
    --out | --images | --pixels)
        [ $# -gt 1 ] || stop "$1: expected a value"
        declare "${1#--}=$2"
        shift 2
        ;;
    -h | --help) sed -n '2,/^#$/s/^# \{0,1\}//p' "$0" && exit ;;
    *) stop "$1: expected --out DIR, --images N (mock images) or --pixels N (their sides)" ;;
    esac
done
[ -n "$out" ] || stop "expected --out DIR"
[ ! -e "$out/report.txt" ] || stop "$out: holds a report; choose another --out"
mkdir -p -- "$out/logs" || stop "$out: cannot make this folder"

failed=0
part() { # part NAME COMMAND...: run a part in a shell of its own, keep what it says, and report its end and its time
    local name=$1 begun=$SECONDS end='done'
    shift
    say "$name"
    if ! ("$@") >"$out/logs/$name.txt" 2>&1; then
        failed=$((failed + 1))
        end="failed: logs/$name.txt"
    fi
    printf '%-22s %6d s   %s\n' "$name" $((SECONDS - begun)) "$end" >>"$out/report.txt"
}

machine() {
    uname -a
    lscpu
    nvidia-smi || rocm-smi --showproductname --showdriverversion || echo "no nvidia-smi, no rocm-smi"
    srun --mpi=list
    mpirun --version
    env | grep -E '^(SLURM_(JOB_NUM|NTASKS|TASKS|CPUS|GPUS)|CUDA_|ROCR_|HIP_|COSMODEEP_|CONTAINER|LOADEDMODULES)'
    return 0
}

alone() { # alone COMMAND...: run Python once, as the ranks do
    find_program
    "${program[@]}" "$@"
}

versions() {
    alone -c 'from importlib import metadata
for package in sorted({d.metadata["Name"] for d in metadata.distributions()}, key=str.lower):
    print(package, metadata.version(package))'
}

# The maps by the device may differ from those by the cores by rounding.
same_maps() {
    alone - "$out/cores" "$out/device" <<'P'
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

cores, device = map(Path, sys.argv[1:])
worst = 0.0
for path in sorted(cores.glob("*.probability.fits")):
    one, other = (fits.getdata(folder / path.name) for folder in (cores, device))
    assert (np.isnan(one) == np.isnan(other)).all(), f"{path.name}: other pixels have data"
    worst = max(worst, float(np.nanmax(abs(one - other))))
    print(path.name, "largest difference of a probability:", np.nanmax(abs(one - other)))
sys.exit(0 if 0 <= worst < 1e-4 and list(cores.glob("*.probability.fits")) else 1)
P
}

classify() { # classify ENGINE FOLDER: sweep all images
    export COSMODEEP_ENGINE=$1
    launch classify "$out"/images/noise-*.fits --out "$2"
}

part machine machine
part versions versions
part doctor launch doctor
part mock launch mock --out "$out/images" --images "$images" --instrument.pixels "$pixels"
part tiles launch tiles --images "$out/images" --out "$out/tiles"
for sums in auto mpi horovod; do
    part "train-$sums" launch train --tiles "$out/tiles" --out "$out/run-$sums" \
        --label.n_pix 9 --label.f_th 1e-8 --train.epochs 3 --train.sums "$sums"
done
part bench launch bench --out "$out/bench.json"
part classify-cores classify cores "$out/cores"
if [ "$(count_gpus)" -gt 0 ]; then
    part classify-device classify jax "$out/device"
    part same-maps same_maps
fi
tar -C "$out" -czf "$out.tar.gz" --ignore-failed-read report.txt logs bench.json
cat "$out/report.txt"
echo "$failed parts failed; report: $out.tar.gz"
[ "$failed" -eq 0 ]
