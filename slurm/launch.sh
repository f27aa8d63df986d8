# shellcheck shell=bash
# The scripts of this folder source this file. It runs a stage of cosmodeep on every rank.
#
# COSMODEEP_PYTHON  the interpreter; else .venv/bin/python of the project, else python3
# COSMODEEP_MPI     the word for srun --mpi=; else the site's best
# CONTAINER         an image to run the stage in, with COSMODEEP_PYTHON or python3 of its own: container.sh
# STAGE_IN          a folder on each node's own disk, or $NAME: --tiles is copied there before the ranks start
# RANKS             without Slurm: number of ranks; else one rank a GPU, or 2 ranks on two cores or more

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# A stage that was told to end and saved its state ends with the first: start it again (sysexits.h). With the second
# it has done nothing since its start.
EX_TEMPFAIL=75
IDLE=76

# Modules in the folder of submission, a user's random.py or copy.py, are not Python's own.
export PYTHONSAFEPATH=1
# shellcheck source=slurm/gpus.sh
source "$HERE/slurm/gpus.sh"
# shellcheck source=slurm/job.sh
source "$HERE/slurm/job.sh"
# shellcheck source=slurm/container.sh
source "$HERE/slurm/container.sh"

# launch STAGE ARGUMENT...: run `cosmodeep STAGE ARGUMENT...` on every rank and end with its status.
launch() {
    local -a program step_options=()
    find_program
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        launch_in_slurm "$@"
    else
        launch_alone "$@"
    fi
}

stop() { # stop MESSAGE: end, for a reason that the user can change
    echo "${0##*/}: $1" >&2
    exit 2
}

has() {
    command -v "$1" >/dev/null
}

# Set program: the words before `-m cosmodeep_hpc`.
find_program() {
    local python=${COSMODEEP_PYTHON:-}
    if [ -n "${CONTAINER:-}" ]; then
        enter_container "${python:-python3}"
        return
    fi
    if [ -z "$python" ] && [ -x "$HERE/.venv/bin/python" ]; then
        python=$HERE/.venv/bin/python
        PATH=$HERE/.venv/bin:$PATH # the set-up may have put mpirun there
    fi
    program=("${python:-python3}")
    has "${program[0]}" || stop "no ${program[0]}: run \`make env\` in $HERE, or set COSMODEEP_PYTHON"
}

set_threads() { # set_threads N: set the number of threads of one rank
    export OMP_NUM_THREADS=$1 TF_NUM_INTRAOP_THREADS=$1
}

# --- stage-in --------------------------------------------------------------------------------------

# Print the folder that STAGE_IN means. The value of a variable such as $TMPDIR is known in the job only.
own_disk() {
    local folder=$STAGE_IN name=${STAGE_IN#\$}
    [ "$name" = "$STAGE_IN" ] || { [[ $name =~ ^[A-Za-z_][A-Za-z_0-9]*$ ]] && folder=${!name:-}; }
    echo "$folder"
}

# Set arguments: the given ones, with a copy on the disk of every node in place of the folder after --tiles.
# Set staged: the folder of the copies.
stage_in() {
    local disk folder k at='' option=''
    arguments=("$@")
    [ -n "${STAGE_IN:-}" ] || return 0
    disk=$(own_disk)
    [[ $disk == /* ]] || stop "STAGE_IN=$STAGE_IN is '$disk': expected an absolute path, the same on every node"
    for ((k = 0; k < $#; k++)); do
        case ${arguments[k]} in
        --tiles) at=$((k + 1)) option='' ;;
        --tiles=*) at=$k option='--tiles=' ;;
        esac
    done
    folder=${at:+${arguments[at]:-}}
    folder=${folder#"$option"}
    [ -e "$folder/index.json" ] || return 0 # nothing to copy, or the stage will say what is wrong
    staged=$disk/cosmodeep-$SLURM_JOB_ID
    if ! on_every_node bash "$HERE/slurm/stage.sh" "$folder" "$staged/tiles"; then
        unstage
        stop "$folder was not copied to $disk of every node, nothing was run: unset STAGE_IN to read it where it is"
    fi
    arguments[at]=$option$staged/tiles
}

# Remove the copies. After a kill they stay until the site clears its nodes.
unstage() {
    [ -z "$staged" ] || on_every_node rm -rf -- "$staged"
}

on_every_node() { # on_every_node COMMAND...: run it once on each node
    local nodes=${SLURM_JOB_NUM_NODES:-1}
    srun --mpi=none --overlap --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 "$@"
}

# --- in a Slurm job --------------------------------------------------------------------------------

launch_in_slurm() {
    local mpi gpus tasks status staged=''
    local -a arguments
    # PMIx ends all ranks when it loses one. --kill-on-bad-exit would end ranks that report status 75 or 2 a few
    # milliseconds later, and srun would report their SIGTERM. --wait is for a PMI that does not notice a lost rank.
    local -a options=(--kill-on-bad-exit=0 --wait=30)
    # The warning of --signal may come while a rank still starts. Blocked, it does not end the rank and is not lost.
    local -a held=(env --block-signal=USR1)
    "${held[@]}" true 2>/dev/null || held=() # GNU coreutils before 8.31
    mpi=${COSMODEEP_MPI:-$(offered_mpi)}
    [ -n "$mpi" ] || stop "srun offers no PMI that an MPI knows: see srun --mpi=list, set COSMODEEP_MPI"
    if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
        options+=("--cpus-per-task=$SLURM_CPUS_PER_TASK") # since Slurm 22.05 srun does not take it from the job
        set_threads "$SLURM_CPUS_PER_TASK"
    fi
    gpus=$(count_gpus) tasks=${SLURM_TASKS_PER_NODE%%[!0-9]*}
    if [ "$gpus" -gt 0 ] && [ "$gpus" != "$tasks" ]; then
        echo "${0##*/}: $tasks tasks for the $gpus GPUs of a node; expected one a GPU:" \
            "--gpus-per-node=$gpus --ntasks-per-node=$gpus" >&2
    fi
    # in the shell of `srun --pty bash` the step around it holds all cores
    [ -z "${SLURM_STEP_ID:-}" ] || options+=(--overlap)
    stage_in "$@"
    step srun --mpi="$mpi" "${options[@]}" "${step_options[@]}" \
        "${held[@]}" "${program[@]}" -m cosmodeep_hpc "${arguments[@]}"
    status=$?
    unstage
    [ "$status" = "$IDLE" ] || forget_idle_starts
    case $status in
    0 | 2) ;;
    "$EX_TEMPFAIL") requeue "all is saved" ;;
    "$IDLE") requeue_idle ;;
    *) ! node_lost || requeue "a node of $SLURM_JOB_NODELIST does not answer" ;;
    esac
    exit "$status"
}

# Tell whether a node is gone. The ranks of other nodes may notice it, and fail, minutes before Slurm does.
node_lost() {
    local said
    [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ] || return 1
    said=$(on_every_node true 2>&1) || [[ $said != *"failed on node"* ]] || return 0
    return 1
}

# Print the best PMI of the site that an MPI may know. Open MPI needs the first.
offered_mpi() {
    local list name found
    list=$(srun --mpi=list 2>&1)
    for name in pmix cray_shasta pmi2; do
        found=$(grep -oE "\b$name(_v[0-9]+)?\b" <<<"$list" | sort | head -n 1)
        [ -z "$found" ] || break
    done
    echo "$found"
}

# --- without Slurm ---------------------------------------------------------------------------------

launch_alone() {
    local cores gpus ranks
    local -a options=()
    cores=$(count_cores) gpus=$(count_gpus)
    ranks=${RANKS:-$((gpus > 0 ? gpus : cores > 1 ? 2 : 1))}
    [[ $ranks =~ ^[1-9][0-9]*$ ]] || stop "RANKS=$ranks: expected a number of ranks"
    [ -n "${OMP_NUM_THREADS:-}" ] || set_threads $((cores > ranks ? cores / ranks : 1))
    [ "$ranks" -gt 1 ] || exec "${program[@]}" -m cosmodeep_hpc "$@"
    has mpirun || stop "no mpirun here: run \`make env\`, load your MPI's module, or set RANKS=1"
    if [[ $(mpirun --version 2>&1) == *"Open MPI"* ]]; then
        options=(--bind-to none) # a rank has the threads of several cores
        # if each rank has one core and all cores are in use, bound threads are 1 to 2 % faster
        [ "$ranks" -ne "$cores" ] || [ "$OMP_NUM_THREADS" != 1 ] || options=(--bind-to core)
        [ "$ranks" -le "$cores" ] || options+=(--oversubscribe)
        if [ "$(id -u)" -eq 0 ]; then
            export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        fi
    fi
    exec mpirun -n "$ranks" "${options[@]}" "${program[@]}" -m cosmodeep_hpc "$@"
}

# Print the number of cores that this process may use, each core counted once: Open MPI's slots.
count_cores() {
    local allowed real
    allowed=$(nproc)
    real=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l)
    echo $((real > 0 && real < allowed ? real : allowed))
}

[ -z "${SLURM_JOB_ID:-}" ] || own_environment
