# shellcheck shell=bash
# launch.sh sources this file: the words that run a command in CONTAINER, by what there is here.
#
# CONTAINER_RUNTIME  apptainer, singularity, pyxis, enroot, podman-hpc, podman or docker; else what is found here
# CONTAINER_BIND     folders that are seen inside, separated by commas, beside the current one

# enter_container PYTHON: set program to words that run PYTHON inside; add options of srun to step_options.
enter_container() {
    local runtime=${CONTAINER_RUNTIME:-} gpus folder
    local -a folders=() binds=()
    [ -n "$runtime" ] || runtime=$(container_runtime)
    [ -n "$runtime" ] || stop "CONTAINER=$CONTAINER: $(no_runtime)"
    gpus=$(count_gpus)
    IFS=, read -r -a folders <<<"${CONTAINER_BIND:-}"
    [ -z "${STAGE_IN:-}" ] || folders+=("$(own_disk)")
    # Slurm's side of PMIx keeps its data in a folder that the image does not see
    export PMIX_MCA_gds=${PMIX_MCA_gds:-hash}
    case $runtime in
    apptainer | singularity)
        program=("$runtime" exec)
        [ "$gpus" -eq 0 ] || program+=("$(is_amd && echo --rocm || echo --nv)")
        for folder in "${folders[@]}"; do program+=(--bind "$folder"); done
        program+=("$CONTAINER" "$1")
        ;;
    pyxis) # a plugin of srun
        [ -n "${SLURM_JOB_ID:-}" ] || stop "CONTAINER_RUNTIME=pyxis: only in a Slurm job"
        printf -v folder ',%s' "$PWD" "${folders[@]}"
        step_options+=("--container-image=$CONTAINER" "--container-mounts=${folder:1}" "--container-workdir=$PWD")
        program=("$1")
        ;;
    enroot)
        for folder in "$PWD" "${folders[@]}"; do binds+=(--mount "$folder:$folder"); done
        program=(enroot start "${binds[@]}" "$CONTAINER" "$1")
        ;;
    podman-hpc | podman | docker)
        for folder in "$PWD" /tmp "${folders[@]}"; do binds+=(--volume "$folder:$folder"); done
        # ranks of a node meet in the host's memory and by its process numbers
        program=("$runtime" run --rm --network=host --ipc=host --pid=host --workdir="$PWD" "${binds[@]}")
        [ "$runtime" = docker ] || program+=(--env-host)
        if [ "$gpus" -gt 0 ] && [ "$runtime" = podman-hpc ]; then
            program+=(--gpu)
        elif [ "$gpus" -gt 0 ] && is_amd; then
            program+=(--device /dev/kfd --device /dev/dri)
        elif [ "$gpus" -gt 0 ]; then
            program+=(--device nvidia.com/gpu=all)
        fi
        program+=("$CONTAINER" "$1")
        ;;
    *) stop "CONTAINER_RUNTIME=$runtime: not known; see the top of slurm/container.sh" ;;
    esac
}

# Print the first runtime here that opens this kind of image; nothing where there is none.
container_runtime() {
    local name
    local -a known=(apptainer singularity)
    if [[ $CONTAINER == *.sqsh ]]; then
        has_pyxis && echo pyxis && return
        known=(enroot)
    elif [ ! -e "$CONTAINER" ]; then
        is_file_name && return # of a file that is not there
        has_pyxis && echo pyxis && return
        known=(podman-hpc podman docker)
    fi
    for name in "${known[@]}"; do
        has "$name" && echo "$name" && return
    done
}

# Print why there is no runtime.
no_runtime() {
    if [ ! -e "$CONTAINER" ] && is_file_name; then
        echo "no such image"
    elif [[ $CONTAINER == *.sqsh ]]; then
        echo "neither srun --container-image (pyxis) nor enroot here: load a module, or set CONTAINER_RUNTIME"
    elif [ -e "$CONTAINER" ]; then
        echo "neither apptainer nor singularity here: load its module, or set CONTAINER_RUNTIME"
    else
        echo "no such file, and none of podman-hpc, podman, docker and pyxis here for the image of that name"
    fi
}

is_file_name() {
    [[ $CONTAINER == /* || $CONTAINER == .* || $CONTAINER =~ \.(sif|simg|img|sqsh)$ ]]
}

has_pyxis() {
    [ -n "${SLURM_JOB_ID:-}" ] && [[ $(srun --help 2>&1) == *--container-image* ]]
}

is_amd() {
    [ -e /dev/kfd ] && [ ! -e /dev/nvidiactl ]
}
