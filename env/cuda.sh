# shellcheck shell=bash
# Which CUDA toolkit Horovod is built with, and what is refused before anything is downloaded. env/setup.sh sources it.

readonly CUDA=12 # the major version that the pinned TensorFlow's GPU wheel is built for

# Whether Horovod is built for NVIDIA's GPUs.
for_gpus() { [ -n "${HOROVOD_GPU_OPERATIONS:-}${HOROVOD_GPU_ALLREDUCE:-}" ]; }

# The version of a toolkit, such as 12.4; empty where the folder holds no nvcc that runs.
nvcc_version() { # nvcc_version FOLDER
    { "$1/bin/nvcc" --version 2>/dev/null || true; } | sed -n 's/.* release \([0-9.]*\),.*/\1/p'
}

# Folders that may hold a toolkit, the first choice first; one named by a variable is the only one.
cuda_candidates() {
    local folder
    folder=${HOROVOD_CUDA_HOME:-${CUDA_HOME:-}}
    if [ -n "$folder" ]; then
        echo "$folder"
        return
    fi
    # nvcc in PATH, as a module puts it there, may be a link or a script: it says itself where its toolkit is.
    folder=$({ nvcc --dryrun -x cu /dev/null 2>&1 || true; } | sed -n 's/^#\$ TOP=//p')
    if [ -n "$folder" ]; then realpath -m "$folder"; fi
    for folder in /usr/local/cuda /usr/local/cuda-"$CUDA"*; do
        if [ -x "$folder/bin/nvcc" ]; then realpath "$folder"; fi
    done
}

# The toolkit to use; where there is none of the right version, a line that says what was found.
find_cuda() {
    local folder version found=""
    while read -r folder; do
        version=$(nvcc_version "$folder")
        if [ "${version%%.*}" = "$CUDA" ]; then
            echo "$folder"
            return
        fi
        found+="${found:+, }${version:-no nvcc} in $folder"
    done < <(cuda_candidates | awk '!seen[$0]++')
    die "Horovod for GPUs needs the CUDA $CUDA toolkit, whose runtime TensorFlow's wheel uses; found: ${found:-no nvcc in PATH or /usr/local/cuda*}; load a module of CUDA $CUDA, or name its folder with CUDA_HOME="
}

check_gpu_options() {
    case ${HOROVOD_GPU_OPERATIONS:-} in
    '' | NCCL | MPI) ;;
    *) die "HOROVOD_GPU_OPERATIONS=$HOROVOD_GPU_OPERATIONS: expected NCCL or MPI" ;;
    esac
    if [[ $TENSORFLOW == tensorflow-cpu* ]]; then
        die "Horovod for GPUs needs a TensorFlow for GPUs, found $TENSORFLOW: add COSMODEEP_TENSORFLOW='tensorflow[and-cuda]'"
    fi
    if [[ $TENSORFLOW == tensorflow* && $(uname -m) != x86_64 ]]; then
        die "TensorFlow's wheel for $(uname -m) is not built for CUDA: take NVIDIA's container or conda-forge's TensorFlow (docs/containers.md)"
    fi
    find_cuda >/dev/null
}

# Compile a line of CUDA, so that a toolkit that does not take this g++ is known before the long way.
try_nvcc() {
    local cuda folder
    for_gpus || return 0
    cuda=$(find_cuda)
    folder=$(mktemp -d)
    printf '#include <cuda_runtime.h>\n__global__ void nothing() {}\n' >"$folder/try.cu"
    "$cuda/bin/nvcc" -ccbin "${CXX:-g++}" -c -o "$folder/try.o" "$folder/try.cu" || {
        rm -r "$folder"
        die "CUDA $(nvcc_version "$cuda") in $cuda does not compile with $("${CXX:-g++}" --version | head -n 1); name an older g++ with CXX=, or another toolkit with CUDA_HOME="
    }
    rm -r "$folder"
    echo "CUDA $(nvcc_version "$cuda") in $cuda"
}

# Refuse a TensorFlow that was not built for this major version of CUDA.
check_tensorflow_cuda() {
    for_gpus || return 0
    local built
    built=$(TF_CPP_MIN_LOG_LEVEL=3 "$VENV/bin/python" -c '
import tensorflow as tf
print(tf.sysconfig.get_build_info().get("cuda_version", "no CUDA"))' | tail -n 1)
    [ "${built%%.*}" = "$CUDA" ] || die "$TENSORFLOW is built for $built on $(uname -m), expected CUDA $CUDA"
}

# Lay a folder for Horovod's build from NVIDIA's wheel of NCCL, which lacks the name libnccl.so.
lay_nccl() { # lay_nccl FOLDER: fails where there is no such wheel
    local wheel
    wheel=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/nvidia/nccl
    [ -e "$wheel/lib/libnccl.so.2" ] || return 1
    mkdir -p "$1/lib"
    ln -s "$wheel/include" "$1/include"
    ln -s "$wheel/lib/libnccl.so.2" "$1/lib/libnccl.so.2"
    ln -s "$wheel/lib/libnccl.so.2" "$1/lib/libnccl.so"
}
