#!/bin/bash
# Measure the accuracy on pairs that no training has seen, on the ranks of a Slurm job or of this machine:
#   sbatch slurm/evaluate.sh --model RUN --images DIR --out DIR
#   bash slurm/evaluate.sh --model RUN --images DIR --out DIR
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=evaluate
#SBATCH --output=%x-%j.log       # in the folder of submission
#SBATCH --open-mode=append       # a requeued job goes on in the same log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2      # ranks on a node; with GPUs one rank a GPU
#SBATCH --cpus-per-task=4        # cores and threads of a rank
##SBATCH --gpus-per-node=2       # where there are GPUs: as many as ranks on a node
#SBATCH --time=01:00:00
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
launch evaluate "$@"
