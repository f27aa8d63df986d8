#!/bin/bash
# Sweep mosaics, on the ranks of a Slurm job or, without Slurm, of this machine:
#   sbatch slurm/classify.sh IMAGE... --out DIR
#   sbatch --nodes=8 slurm/classify.sh --list FILE --out DIR --model RUN
#   bash slurm/classify.sh IMAGE... --out DIR
# A job that is submitted again, or requeued, does only what is missing. The log ends with a table of all mosaics.
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=classify
#SBATCH --output=%x-%j.log       # in the folder of submission
#SBATCH --open-mode=append       # a requeued job goes on in the same log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2      # ranks on a node; with GPUs one rank a GPU
#SBATCH --cpus-per-task=4        # cores and threads of a rank
##SBATCH --gpus-per-node=2       # where there are GPUs: as many as ranks on a node
#SBATCH --time=01:00:00
#SBATCH --signal=USR1@120        # the ranks are warned these seconds before the end
#SBATCH --requeue                # after its time limit, or the loss of a node, the job goes on where it was
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
launch classify "$@"
