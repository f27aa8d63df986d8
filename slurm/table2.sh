#!/bin/bash
# Make table 2 of the paper: train and judge a model for each of its eight labelling rules, with several seeds:
#   sbatch slurm/table2.sh --config CONFIG --tiles DIR --images DIR --out DIR      # an array of 24 jobs
#   RANKS=1 bash slurm/table2.sh --config CONFIG --tiles DIR --images DIR --out DIR
# Job K trains OUT/npix-N-fth-F-seed-S/run and judges it on the pairs of --images. No model was trained on these.
# What is done is kept, so the same line goes on where it was. Without Slurm the models are made one by one. If you
# start the script several times at once, each start takes models on which no other start works. Then:
#   cosmodeep report --evaluations OUT --out figures
# Options of sbatch go before the script. They win over the lines below. See slurm/README.md.
#
#SBATCH --job-name=table2
#SBATCH --output=%x-%A-%a.log    # in the folder of submission
#SBATCH --open-mode=append       # a requeued job goes on in the same log
#SBATCH --array=0-23%8           # job 0 to 23, 8 at a time: 8 rules x 3 seeds, all rules of a seed first
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2      # ranks of a job; with GPUs one rank a GPU
#SBATCH --cpus-per-task=4        # cores and threads of a rank
##SBATCH --gpus-per-node=2       # where there are GPUs: as many as ranks on a node
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

RULES=(40:1e-7 9:1e-7 40:7.5e-8 9:7.5e-8 40:5e-8 9:5e-8 40:1e-8 9:1e-8) # N_pix:F_th [Jy/arcsec^2]
SEEDS=3

tiles='' images='' out='' others=()
while [ $# -gt 0 ]; do
    case $1 in
    --tiles | --images | --out)
        [ $# -gt 1 ] || stop "$1: expected a folder"
        declare "${1#--}=$2"
        shift 2
        ;;
    *) others+=("$1") && shift ;;
    esac
done
if [ -z "$tiles" ] || [ -z "$images" ] || [ -z "$out" ]; then
    stop "expected --tiles DIR --images DIR --out DIR"
fi

run() { # run K: make model K, unless another start of this script works on it
    local rule=${RULES[$1 % ${#RULES[@]}]} seed=$(($1 / ${#RULES[@]} + 1)) status=0
    local n_pix=${rule%:*} f_th=${rule#*:}
    local folder=$out/npix-$n_pix-fth-$f_th-seed-$seed
    local answer holder input
    mkdir -p -- "$folder" || stop "$folder: cannot make this folder"
    find_program
    # Not flock, which some file systems lack. The lock ends with its standard input, at the latest with this script.
    coproc LOCK { exec "${program[@]}" -m cosmodeep_hpc.parallel.holdlock "$folder"; }
    holder=$LOCK_PID input=${LOCK[1]} answer=''
    read -r answer <&"${LOCK[0]}"
    case $answer in
    ours) [ -e "$folder/accuracy/metrics.json" ] || have || status=$? ;;
    ?*) echo "${0##*/}: $folder: left to $answer" >&2 ;;
    esac
    exec {input}>&-
    wait "$holder" || return
    return "$status"
}

have() { # train and judge the model of `run`; return a status other than 0 if that failed
    echo "${0##*/}: N_pix $n_pix, F_th $f_th, seed $seed" >&2
    if [ ! -e "$folder/run/model.keras" ]; then
        (launch train "${others[@]}" --tiles "$tiles" --out "$folder/run" \
            --label.n_pix "$n_pix" --label.f_th "$f_th" --train.seed "$seed") || return
    fi
    (launch evaluate "${others[@]}" --model "$folder/run" --images "$images" --out "$folder/accuracy")
}

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    [ "$SLURM_ARRAY_TASK_ID" -lt $((${#RULES[@]} * SEEDS)) ] ||
        stop "no job $SLURM_ARRAY_TASK_ID of $((${#RULES[@]} * SEEDS)): see --array at the top of this script"
    run "$SLURM_ARRAY_TASK_ID"
    exit
fi
worst=0
for ((k = 0; k < ${#RULES[@]} * SEEDS; k++)); do
    run "$k" || worst=$?
done
exit "$worst"
