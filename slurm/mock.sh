#!/bin/bash
# Make Sky and Noise images from a simulated box, on the ranks of a Slurm job or of this machine:
#   sbatch slurm/mock.sh --config CONFIG --out DIR --images N
#   bash slurm/mock.sh --config CONFIG --out DIR --images N
# Options of sbatch go before the script, and win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=mock
#SBATCH --output=%x-%j.log       # in the folder of submission
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2      # ranks of a node
#SBATCH --cpus-per-task=4        # cores, and threads, of a rank
#SBATCH --time=04:00:00
##SBATCH --account=NAME          # what your site asks for; two # are a comment
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
launch mock "$@"
