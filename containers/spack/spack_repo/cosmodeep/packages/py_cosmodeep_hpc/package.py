"""The package for Spack 1.0 and newer: `spack repo add containers/spack/spack_repo/cosmodeep`."""
# ruff: noqa: F403, F405, I001  # names and order are those that Spack asks for

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyCosmodeepHpc(PythonPackage):
    """Find the faint, diffuse radio emission of the cosmic web in survey images."""

    # a clone is built as it lies there: spack develop -p $PWD py-cosmodeep-hpc@main
    version("main")

    variant("mpi", default=True, description="Several ranks")
    variant("train", default=False, description="Training, by TensorFlow")
    variant("horovod", default=False, when="+train+mpi", description="Sums by NCCL between GPUs")

    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-setuptools", type="build")
    with default_args(type=("build", "run")):
        depends_on("py-astropy@7:8")
        depends_on("py-colossus@1.3.8:1")
        depends_on("py-h5py@3.11:3")
        depends_on("py-llvmlite@0.50")
        depends_on("py-matplotlib@3.9:3")
        depends_on("py-mocpy@0.17:0")
        depends_on("py-numba@0.68")
        depends_on("py-numpy@2:2")
        depends_on("py-photutils@3:3")
        depends_on("py-regions@0.11:0")
        depends_on("py-scipy@1.14:1")
        depends_on("py-mpi4py@4:4", when="+mpi")
        depends_on("py-tensorflow@2.21", when="+train")
        depends_on("py-tensorboard@2.21", when="+train")
        depends_on("py-horovod@0.28.1 controllers=mpi frameworks=tensorflow", when="+horovod")
