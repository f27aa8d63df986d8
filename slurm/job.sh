# shellcheck shell=bash
# launch.sh sources this file: what this Slurm job is, its warnings, and its way back into the queue.

# Of this start of the job, as Slurm writes them, or empty where it does not answer: whether it is a batch script, and
# how often it was started before.
is_batch='' restarts=''

# How often in a row a job is put back although nothing was done since its start.
IDLE_STARTS=2

# Print what Slurm knows of this job, in one line; nothing where it does not answer.
show_job() {
    # of an array, whose last task has the number of the array, it shows all tasks
    scontrol show job -o "$SLURM_JOB_ID" 2>/dev/null | grep -E "^JobId=$SLURM_JOB_ID( |$)"
}

field() { # field NAME LINE: print a field of such a line; nothing where it has none
    local rest=${2#*" $1="}
    [ "$rest" = "$2" ] || echo "${rest%% *}"
}

# Forget what the environment says of another job. A job that is submitted from a job inherits its variables, and Slurm
# sets those of arrays, requeues, GPUs and memory only in jobs that have them.
own_environment() {
    local said
    # after --export=NONE srun would hand on no variable of this script
    export SLURM_EXPORT_ENV=ALL
    said=$(show_job)
    [ -n "$said" ] || return 0
    is_batch=$(field BatchFlag "$said") # 0: of salloc, or srun itself
    restarts=$(field Restarts "$said")
    if [ -n "$(field ArrayTaskId "$said")" ]; then
        SLURM_ARRAY_JOB_ID=$(field ArrayJobId "$said")
        SLURM_ARRAY_TASK_ID=$(field ArrayTaskId "$said")
    else
        unset "${!SLURM_ARRAY_@}"
    fi
    [ "$restarts" != 0 ] || unset SLURM_RESTART_COUNT
    [[ $said == *gres*gpu* ]] || unset SLURM_JOB_GPUS "${!SLURM_GPUS@}"
    if [ -n "$(field MinMemoryCPU "$said")" ]; then # srun takes one of the two
        unset SLURM_MEM_PER_NODE
    else
        unset SLURM_MEM_PER_CPU
    fi
}

# Print this job's number as squeue and scancel write it: a task of an array is not the whole array.
job_name() {
    echo "${SLURM_ARRAY_TASK_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
}

say() {
    echo "${0##*/}: $*" >&2
}

# --- warnings --------------------------------------------------------------------------------------

# step COMMAND...: run a job step and return its status. --signal=B:USR1 warns this shell alone, and so may a site that
# ends a job by SIGTERM. Both are handed on as USR1: the step may have got the SIGTERM, too.
step() {
    local srun code status=127 caught
    if [ "${is_batch:-1}" = 0 ]; then # Ctrl-C ends a command in the foreground alone
        "$@"
        return
    fi
    trap 'caught=1; warn_step &' USR1 TERM
    "$@" &
    srun=$!
    while caught='' && wait "$srun" && code=0 || code=$?; do
        [ "$code" != 127 ] || break # it ended between two signals
        status=$code
        [ -n "$caught" ] || break
    done
    trap - USR1 TERM
    jobs -p | xargs -r kill 2>/dev/null # of a warning, lest it reach what comes after this step
    return "$status"
}

# Send USR1 to the step, which may not have begun yet: a second one changes nothing.
warn_step() {
    local seconds
    for seconds in 0 5 20; do
        sleep "$seconds"
        [ -z "$(ended_by_slurm)" ] || return
        scancel --signal=USR1 "$(job_name)" 2>/dev/null
    done
}

# Print how Slurm has ended this start of the job; nothing where it runs, or nothing is known. This script may live on
# for some seconds after the loss of a node, while the job has started again elsewhere: that must not be touched.
ended_by_slurm() {
    local said state
    said=$(show_job)
    state=$(field JobState "$said")
    [ "$state" != RUNNING ] || [ "$(field Restarts "$said")" = "${restarts:-$(field Restarts "$said")}" ] ||
        state='started again'
    [ -z "$said" ] || [ "$state" = RUNNING ] || echo "$state"
}

# --- the way back into the queue -------------------------------------------------------------------

requeue() { # requeue REASON: put the job back into the queue, unless it was cancelled, or must not be put back
    local said state again='submit the same line again'
    said=$(show_job)
    state=$(ended_by_slurm)
    if [ "$(field Requeue "$said")" = 0 ] || [ "${is_batch:-1}" = 0 ]; then
        say "$1: this job cannot be put back into the queue: $again"
    elif [ -n "$state" ]; then
        say "$1: Slurm has ended this job ($state): $again"
    else
        say "$1: the job is put back into the queue"
        scontrol requeue "$(job_name)" || say "that failed: $again"
    fi
}

# Put a job back that was told to end before anything was done, but not for ever.
requeue_idle() {
    local count file
    file=$(idle_starts)
    count=$(cat -- "$file" 2>/dev/null)
    [ -w "$(dirname -- "$file")" ] || count=${SLURM_RESTART_COUNT:-0}
    count=$((count + 1))
    if [ "$count" -gt "$IDLE_STARTS" ]; then
        rm -f -- "$file"
        say "told to end before anything was done, $count times in a row: the job is not put back into the queue." \
            "Its time (--time, or what its partition allows) is hardly longer than the warning of --signal:" \
            "raise the one or lower the other, and submit the same line again"
        return
    fi
    [ ! -w "$(dirname -- "$file")" ] || echo "$count" >"$file"
    requeue "told to end before anything was done"
}

# Something was done: count from 0 again.
forget_idle_starts() {
    rm -f -- "$(idle_starts)"
}

idle_starts() {
    echo "${SLURM_SUBMIT_DIR:-.}/.idle-starts-$(job_name)"
}
