"""STAGE_IN: tiles are copied to the disk of every node before the ranks start."""

import os
import re
import subprocess

import pytest
from scripts import SCRIPTS, program, sbatch

TILES = "tiles of 'mine' $HOME; *"


@pytest.fixture
def folder(tmp_path):
    """A folder with a tile set's look."""
    made = tmp_path / TILES
    (made / "deep").mkdir(parents=True)
    (made / "index.json").write_text("{}")
    (made / "deep/shard-00000.h5").write_bytes(os.urandom(300_000))
    return made


@pytest.mark.parametrize("form", ["--tiles|{}", "--tiles={}"])
def test_tiles_are_copied_to_each_node_and_removed_at_the_end(cluster, folder, tmp_path, form):
    text = """tiles=${4#--tiles=}; [ "$4" != --tiles ] || tiles=$5
        diff -r "$TRUE" "$tiles" && echo "$(hostname) <${@: -2}> in $tiles"; exit 3"""
    stage = {"COSMODEEP_PYTHON": str(program(tmp_path / "stage", text)), "TRUE": str(folder)}
    words = ("train.sh", *form.format(TILES).split("|"), "--out", "a $b")
    disk = cluster.folder / "private"
    job = sbatch(cluster, tmp_path, *words, STAGE_IN=str(disk), **stage)
    assert job.status == 3, job.log
    copies = re.findall(rf"^(node\d) <--out a \$b> in {disk}/cosmodeep-\d+/tiles$", job.log, re.M)
    assert len(copies) == 4 and len(set(copies)) == 2, job.log
    assert job.log.count("stage-in on node") == 2  # once a node, not once a rank
    number = re.search(r"cosmodeep-\d+", job.log)[0]
    assert not list(cluster.folder.glob(f"private-node*/{number}"))


def stage_in(source, to, *prefix, **environment):
    """The end of slurm/stage.sh."""
    return subprocess.run(
        [*prefix, "bash", str(SCRIPTS / "stage.sh"), str(source), str(to)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_damaged_copy_is_noticed(folder, tmp_path):
    (tmp_path / "bin").mkdir()
    program(
        tmp_path / "bin/tee", 'input=$(mktemp); cat >"$input"; cat "$input"; echo x >"${@: -1}"'
    )
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = stage_in(folder, tmp_path / "to", **path)
    assert done.returncode == 1
    assert f"the copy differs from {folder}/deep/shard-00000.h5: this disk" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_too_small_is_named(folder, tmp_path):
    (tmp_path / "disk").mkdir()
    small = ("unshare", "--mount", "bash", "-c", 'mount -t tmpfs -o size=100k x "$0" && exec "$@"')
    done = stage_in(folder, tmp_path / "disk/to", *small, tmp_path / "disk")
    assert done.returncode == 2
    assert "0 MiB free; expected at least the 0 MiB of" in done.stderr
