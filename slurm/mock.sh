#!/bin/bash
# Make Sky and Noise images from simulated boxes, on the ranks of a Slurm job or of this machine:
#   sbatch slurm/mock.sh --config CONFIG --out DIR --images N
#   sbatch --array=0-49 slurm/mock.sh --config CONFIG --out DIR --images N     # in 50 jobs
#   bash slurm/mock.sh --config CONFIG --out DIR --images N
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=mock
#SBATCH --output=%x-%j.log       # in the folder of submission
#SBATCH --open-mode=append       # a requeued job goes on in the same log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2      # ranks on a node
#SBATCH --cpus-per-task=4        # cores and threads of a rank
#SBATCH --time=04:00:00
#SBATCH --requeue                # after the loss of a node the job starts again
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

part=()
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then # a job of an array makes its part of the images
    first=${SLURM_ARRAY_TASK_MIN:?} last=${SLURM_ARRAY_TASK_MAX:?} tasks=${SLURM_ARRAY_TASK_COUNT:?}
    step=${SLURM_ARRAY_TASK_STEP:-1}
    [ $((last - first)) -eq $(((tasks - 1) * step)) ] ||
        stop "an array with gaps: expected --array=0-N; jobs that find their part made end at once"
    part=(--part "$(((SLURM_ARRAY_TASK_ID - first) / step))/$tasks")
fi
launch mock "$@" "${part[@]}"
