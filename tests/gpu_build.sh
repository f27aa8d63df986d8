#!/usr/bin/env bash
# Builds Horovod for GPUs on a machine without any, and holds it against the build for CPUs: `make test-gpu-build`.
#
# Debian's CUDA 12 toolkit is unpacked into a folder, not installed. The GPU set-up goes into a virtual environment
# of its own; two ranks train there on CPU tensors, and their weights must be those of .venv, bit for bit.
# No NCCL call and no CUDA kernel runs: that takes a GPU.
#
# Debian as root; 20 GB of disk. Environment variables, all optional:
#   GPU_BUILD                   the folder of everything made; kept, and used again   (default: a temporary one)
#   CUDA_HOME                   a CUDA 12 toolkit that is there already               (default: Debian's, 1 GB to download)
#   HOROVOD_BUILD_CUDA_CC_LIST  the GPUs to build for                                 (default: 80, for brevity)
#   VENV                        the CPU environment to compare with                   (default: .venv)
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CPU_VENV=${VENV:-$HERE/.venv}
DEBIAN=trixie # the first with CUDA 12; its packages unpack on any Debian
PACKAGES=(nvidia-cuda-toolkit nvidia-cuda-dev libnvvm4 libcudart12 libcu++-dev libcub-dev libthrust-dev)

if [ -n "${GPU_BUILD:-}" ]; then
    mkdir -p "$GPU_BUILD"
    FOLDER=$(realpath "$GPU_BUILD")
else
    FOLDER=$(mktemp -d)
    trap 'rm -rf "$FOLDER"' EXIT
fi
readonly HERE CPU_VENV DEBIAN PACKAGES FOLDER

say() { printf '== %s\n' "$*"; }

fail() {
    echo "gpu_build.sh: $*" >&2
    exit 1
}

# apt with lists of its own, so that the machine's stay as they are.
own_apt() {
    local root=$FOLDER/apt mirror
    # shellcheck disable=SC2016  # apt's own names
    if [ ! -e "$root/apt.conf" ]; then
        mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
            awk '$1 == "Debian" && !/security/ {print $2; exit}')
        [ -n "$mirror" ] || fail "apt names no mirror of Debian here; expected one in /etc/apt/sources.list: give CUDA_HOME instead"
        mkdir -p "$root"/{lists,cache/archives}/partial
        touch "$root/status"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $DEBIAN main contrib non-free" \
            >"$root/sources.list"
        cat >"$root/apt.conf" <<CONF
Dir::State "$root";
Dir::State::status "$root/status";
Dir::Cache "$root/cache";
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Sandbox::User "$(id -un)";
CONF
    fi
    APT_CONFIG=$root/apt.conf apt-get -q "$@"
}

# The packages are made for /usr: lay them as NVIDIA's own toolkit lies, and tell nvcc so.
get_toolkit() { # get_toolkit FOLDER
    local work=$FOLDER/debs usr=$FOLDER/debs/unpacked/usr deb tool=$1
    rm -rf "$work" "$tool.part"
    mkdir -p "$work/unpacked" "$tool.part"/{bin,nvvm}
    own_apt update
    (cd "$work" && own_apt download "${PACKAGES[@]}")
    for deb in "$work"/*.deb; do dpkg -x "$deb" "$work/unpacked"; done
    mv "$usr"/bin/* "$usr"/lib/nvidia-cuda-toolkit/bin/{cicc,crt} "$tool.part/bin"
    mv "$usr/lib/nvidia-cuda-toolkit/bin/nvcc" "$tool.part/bin/nvcc" # in place of a script for /usr
    mv "$usr/lib/nvidia-cuda-toolkit/libdevice" "$tool.part/nvvm"
    mv "$usr/include" "$tool.part/include"
    mv "$usr/lib/x86_64-linux-gnu" "$tool.part/lib64"
    cat >"$tool.part/bin/nvcc.profile" <<'PROFILE'
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH += $(_HERE_):
INCLUDES += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/lib64/stubs" "-L$(TOP)/lib64"
PROFILE
    rm -rf "$work"
    mv "$tool.part" "$tool"
}

# The library finds NCCL beside it in any virtual environment, and names no folder of the build.
check_library() { # check_library VENV
    local library wanted path loaded
    library=$(echo "$1"/lib/python3.*/site-packages/horovod/tensorflow/mpi_lib.*.so)
    # shellcheck disable=SC2016  # the loader's word
    wanted='$ORIGIN/../../nvidia/nccl/lib'
    path=$(readelf -d "$library" | sed -n 's/.*Library runpath: \[\(.*\)\]/\1/p')
    echo "RUNPATH $path"
    case ":$path:" in
    *"$FOLDER"* | */tmp/* | */wheels/*) fail "$library names a folder of its build: RUNPATH $path" ;;
    *":$wanted:"*) ;;
    *) fail "$library: RUNPATH $path, expected $wanted" ;;
    esac
    loaded=$(ldd "$library" | awk '/libnccl/ {print $3}')
    echo "NCCL $loaded"
    [ "$(realpath "$loaded")" = "$(realpath "$1"/lib/python3.*/site-packages/nvidia/nccl/lib/libnccl.so.2)" ] ||
        fail "libnccl.so.2 is $loaded, expected that of the virtual environment"
}

train() { # train VENV NAME: two ranks on CPU tensors
    PATH="$1/bin:$PATH" COSMODEEP_PYTHON=$1/bin/python RANKS=2 CUDA_VISIBLE_DEVICES='' \
        OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
        bash "$HERE/slurm/train.sh" --tiles "$FOLDER/tiles" --out "$FOLDER/$2" --restart \
        --train.epochs 2 --train.log_steps 1 >"$FOLDER/$2.log" 2>&1 || {
        cat "$FOLDER/$2.log" >&2
        fail "training in $1 failed"
    }
}

make_tiles() {
    rm -rf "$FOLDER/images" "$FOLDER/tiles"
    PYTHONPATH=$HERE/tests "$CPU_VENV/bin/python" -c '
import sys
from pathlib import Path
from support.fields import write_pairs
write_pairs(Path(sys.argv[1]), 4, (240, 240))
' "$FOLDER/images"
    "$CPU_VENV/bin/cosmodeep" tiles --images "$FOLDER/images" --out "$FOLDER/tiles" >"$FOLDER/tiles.log" 2>&1
}

compare() {
    "$CPU_VENV/bin/python" - "$FOLDER/cpu/model.keras" "$FOLDER/gpu/model.keras" <<'PY'
import io, sys, zipfile
import h5py

def weights(path):
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
    return found

ours, theirs = map(weights, sys.argv[1:])
differ = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
if not ours or differ:
    sys.exit(f"weights differ in {sorted(differ)}")
print(f"{len(ours)} arrays, {sum(map(len, ours.values()))} bytes: bit for bit the same")
PY
}

[ -x "$CPU_VENV/bin/cosmodeep" ] || fail "no environment for CPUs in $CPU_VENV: run make env"

tool=${CUDA_HOME:-$FOLDER/cuda}
if [ ! -e "$tool" ]; then
    say "a CUDA 12 toolkit of Debian $DEBIAN, unpacked in $tool (1 GB to download; 1 minute)"
    get_toolkit "$tool" >"$FOLDER/toolkit.log" 2>&1 || {
        tail -n 20 "$FOLDER/toolkit.log" >&2
        fail "no toolkit"
    }
fi
say "the set-up of a GPU site (7 GB; about 15 minutes, 5 with Horovod built before)"
VENV=$FOLDER/venv CUDA_HOME=$tool COSMODEEP_TENSORFLOW='tensorflow[and-cuda]' HOROVOD_GPU_OPERATIONS=NCCL \
    HOROVOD_BUILD_CUDA_CC_LIST=${HOROVOD_BUILD_CUDA_CC_LIST:-80} bash "$HERE/env/setup.sh"
say "what it built"
check_library "$FOLDER/venv"
sed -n '/^Horovod, built with/p' "$FOLDER"/venv/log/*-horovod.log
say "two ranks train on CPU tensors, with this build and with that for CPUs (1 minute)"
make_tiles
train "$FOLDER/venv" gpu
train "$CPU_VENV" cpu
compare
say "passed after $SECONDS s"
