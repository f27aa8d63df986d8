#!/bin/bash
# Search the best learning rate, batch and epochs by a job array; job K does run K of the search:
#   sbatch slurm/tune.sh --config CONFIG --tiles DIR --out DIR                    # the paper's grid
#   sbatch --array=0-19%4 slurm/tune.sh --config CONFIG --tiles DIR --out DIR     # a search of 20 runs
#   bash slurm/tune.sh --config CONFIG --tiles DIR --out DIR                      # all runs, one by one
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=tune
#SBATCH --output=%x-%A-%a.log    # in the folder of submission
#SBATCH --open-mode=append       # a requeued job goes on in the same log
#SBATCH --array=0-44%8           # run 0 to 44, 8 at a time: 9 learning rates x 5 batches
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1      # ranks of a run; with GPUs one rank a GPU
#SBATCH --cpus-per-task=4        # cores and threads of a rank
##SBATCH --gpus-per-node=1       # where there are GPUs: as many as ranks on a node
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120        # the ranks are warned these seconds before the end
#SBATCH --requeue                # after the loss of a node the job starts again from the last checkpoint
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

task=()
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || task=(--task "$SLURM_ARRAY_TASK_ID")
launch tune "$@" "${task[@]}"
