# shellcheck shell=bash
# Horovod: built from its patched source against this TensorFlow, MPI and CUDA, kept as a wheel, tried. env/setup.sh sources it.

readonly HOROVOD=0.28.1
readonly HOROVOD_SHA256=92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0
readonly PATCH=$HERE/env/horovod-$HOROVOD.patch

has_horovod() { # has_horovod KEY
    [ "$(cat "$VENV/.horovod" 2>/dev/null)" = "$1" ] && "$VENV/bin/python" -m pip show -q horovod
}

horovod_time() {
    local key
    key=$(horovod_key)
    if has_horovod "$key"; then
        echo "seconds: as it is"
    elif [ -e "$WHEELS/$key" ]; then
        echo "seconds: built before"
    elif for_gpus; then
        echo "built from source for GPUs: about 10 minutes the first time"
    else
        echo "built from source: 3 to 5 minutes the first time"
    fi
}

# The name under which a built wheel is kept: all that it was made of or is linked to.
horovod_key() {
    local devices=cpu
    if for_gpus; then devices=cuda$(nvcc_version "$(find_cuda)"); fi
    {
        cat "$PATCH"
        env | grep -E "^($BUILD_OPTIONS|(LD|C|CXX|CUDA)FLAGS|CC|CXX|NVCC_[A-Z]*)=" | sort || true
        command -v mpicc                      # the place of a module's MPI is in the wheel's RUNPATH
        "${CXX:-g++}" -dumpversion || true    # its C++ library is needed where the wheel runs
    } | sha256sum | "$VENV/bin/python" -c '
import platform, re, sys
from importlib.metadata import PackageNotFoundError, version
horovod, package, mpi, devices = sys.argv[1:]
package = re.match(r"[\w.-]+", package)[0]
if devices != "cpu":
    try:
        devices += "-nccl" + version("nvidia-nccl-cu12")
    except PackageNotFoundError:  # of the system
        pass
print(f"horovod-{horovod}", f"{package}-{version(package)}", "cp%d%d" % sys.version_info[:2],
      mpi, platform.machine(), "glibc" + platform.libc_ver()[1], devices, sys.stdin.read()[:12], sep="_")
' "$HOROVOD" "$TENSORFLOW" "$(mpi_key)" "$devices"
}

horovod() {
    local key wheel
    check_tensorflow_cuda
    key=$(horovod_key)
    echo "wheel key: $key"
    if has_horovod "$key"; then return 0; fi
    wheel=$(ls "$WHEELS/$key"/horovod-*.whl 2>/dev/null || true)
    if [ -z "$wheel" ]; then
        build_horovod "$WHEELS/$key"
        wheel=$(ls "$WHEELS/$key"/horovod-*.whl)
    fi
    rm -f "$VENV/.horovod"
    "$VENV/bin/python" -m pip install --no-deps --force-reinstall "$wheel"
    echo "$key" >"$VENV/.horovod"
}

# As many compilers as there are cores, at 2 GiB each.
jobs() {
    local cores memory
    cores=$(nproc)
    memory=$(awk '/MemAvailable/ {print int($2 / 2097152)}' /proc/meminfo)
    [ "$memory" -lt "$cores" ] && cores=$memory
    [ "$cores" -ge 1 ] && echo "$cores" || echo 1
}

build_horovod() { # build_horovod FOLDER: leaves the wheel there, whole or not at all
    local folder=$1 work
    mkdir -p "$WHEELS"
    find "$WHEELS" -maxdepth 1 -name 'horovod-*.??????' -mmin +1440 -exec rm -rf {} + # of killed builds
    work=$(mktemp -d "$folder.XXXXXX")
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$work'" EXIT
    "$VENV/bin/python" -m pip download --no-deps --no-binary horovod --no-build-isolation -d "$work" "horovod==$HOROVOD"
    echo "$HOROVOD_SHA256  $work/horovod-$HOROVOD.tar.gz" | sha256sum -c
    tar -xzf "$work/horovod-$HOROVOD.tar.gz" -C "$work"
    if has patch; then
        patch -d "$work/horovod-$HOROVOD" -p1 <"$PATCH"
    else
        (cd "$work/horovod-$HOROVOD" && GIT_CEILING_DIRECTORIES=$work git apply -p1 "$PATCH")
    fi
    if for_gpus; then choose_gpu_libraries "$work/nccl"; fi
    # CMAKE_POLICY_VERSION_MINIMUM: CMake 4 refuses the age of Horovod's own third parties without it.
    HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 \
        HOROVOD_WITH_MPI=1 HOROVOD_WITH_GLOO=1 \
        CMAKE_POLICY_VERSION_MINIMUM=3.5 MAKEFLAGS="-j$(jobs)" \
        "$VENV/bin/python" -m pip wheel --no-build-isolation --no-deps -w "$work/wheel" "$work/horovod-$HOROVOD"
    # A second set-up may have been faster: its wheel is as good.
    mv -T "$work/wheel" "$folder" 2>/dev/null || [ -e "$folder" ]
}

choose_gpu_libraries() { # choose_gpu_libraries FOLDER: exports what the build asks for; NCCL's links go into the folder
    HOROVOD_CUDA_HOME=$(find_cuda)
    export HOROVOD_CUDA_HOME
    export PATH="$HOROVOD_CUDA_HOME/bin:$PATH" # Horovod asks PATH's nvcc which GPUs there are
    if [ -n "${HOROVOD_NCCL_HOME:-}${HOROVOD_NCCL_LIB:-}" ] || ! lay_nccl "$1"; then
        echo "NCCL: ${HOROVOD_NCCL_HOME:-${HOROVOD_NCCL_LIB:-of the system}}"
        return 0
    fi
    # The shared library, since a static one has 300 MB; found at run time by its place beside Horovod in any
    # virtual environment. In LIBRARY_PATH the folder of links counts as a system's, and CMake leaves it out of RUNPATH.
    export HOROVOD_NCCL_HOME=$1 HOROVOD_NCCL_LINK=SHARED
    export LDFLAGS="${LDFLAGS:-} -Wl,-rpath,\$ORIGIN/../../nvidia/nccl/lib"
    export LIBRARY_PATH="$1/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
}

# Import it: a symbol that its library lacks is found here, and not in the first job.
import_horovod() {
    local parts=(MPI)
    if for_gpus; then parts+=(CUDA); fi
    if [ "${HOROVOD_GPU_OPERATIONS:-}" = NCCL ]; then parts+=(NCCL); fi
    TF_CPP_MIN_LOG_LEVEL=3 "$VENV/bin/python" -c '
import sys
import horovod.tensorflow as hvd
built = {"MPI": hvd.mpi_built(), "Gloo": hvd.gloo_built(), "CUDA": hvd.cuda_built(), "NCCL": hvd.nccl_built()}
print("Horovod, built with", built)
absent = [name for name in sys.argv[1:] if not built[name]]
assert not absent, f"built without {absent}"
' "${parts[@]}" ||
        die "Horovod does not work; to have it built anew, remove $WHEELS/$(cat "$VENV/.horovod") and $VENV/.horovod"
}

try_ranks() {
    has mpirun || { echo "no mpirun here: not tried" && return 0; }
    # Two ranks wherever two are allowed: as root, on one core, under Open MPI 4 and 5 alike.
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
        PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_mpi_yield_when_idle=1 \
        TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES='' timeout --kill-after=10 180 mpirun -n 2 "$VENV/bin/python" -c '
from mpi4py import MPI
import horovod
import horovod.tensorflow as hvd
import tensorflow as tf
world = MPI.COMM_WORLD
hvd.init(comm=world)
total = float(hvd.allreduce(tf.constant(float(world.rank + 1)), op=hvd.Sum))
assert (world.size, hvd.size(), total) == (2, 2, 3.0), (world.size, hvd.size(), total)
print("rank", world.rank, "of", world.size, "Horovod", horovod.__version__, "TensorFlow", tf.__version__, "sum", total)
'
}
