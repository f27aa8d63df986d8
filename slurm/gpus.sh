# shellcheck shell=bash
# launch.sh sources this file: how many GPUs the ranks of a node may use.

# The variables by which NVIDIA's and AMD's libraries are shown some of a node's GPUs.
GPU_VARIABLES=(CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES)

# Print the number of GPUs that the ranks of this node may use.
count_gpus() {
    local name
    if [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
        echo "${SLURM_GPUS_ON_NODE##*[!0-9]}" # an older Slurm writes gpu:4
        return
    fi
    for name in "${GPU_VARIABLES[@]}"; do
        if [ -n "${!name+set}" ] && [ "${!name}" != all ]; then
            count_named "${!name}"
            return
        fi
    done
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        echo 0 # a job has the GPUs that it asked for
    elif has nvidia-smi; then
        nvidia-smi -L 2>/dev/null | grep -c '^GPU'
    else
        # AMD: the nodes of the driver's topology that are no CPUs
        cat /sys/class/kfd/kfd/topology/nodes/*/gpu_id 2>/dev/null | grep -cv '^0$'
    fi
}

# count_named LIST: print how many GPUs a list names, by numbers or identifiers (GPU-..., MIG-...). What follows a
# word that names none counts for nothing, as in NVIDIA's library. Slurm writes NoDevFiles where a job has none.
count_named() {
    local word count=0
    for word in ${1//,/ }; do
        [[ $word =~ ^([0-9]+|GPU-.*|MIG-.*)$ ]] || break
        count=$((count + 1))
    done
    echo "$count"
}
