#!/bin/bash
# Cut Sky/Noise pairs into labelled tiles. A rank makes one shard at a time and uses one core:
#   sbatch slurm/tiles.sh --config CONFIG --images DIR --out DIR
#   bash slurm/tiles.sh --config CONFIG --images DIR --out DIR
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=tiles
#SBATCH --output=%x-%j.log       # in the folder of submission
#SBATCH --open-mode=append       # a requeued job goes on in the same log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8      # ranks on a node
#SBATCH --cpus-per-task=1        # cores of a rank
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
launch tiles "$@"
