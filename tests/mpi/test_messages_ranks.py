"""Of several ranks the first one speaks, and one that fails alone; the log is that of the job."""

from support.launch import mpirun

TALKING = """
import logging, sys, time
from cosmodeep_hpc.cli import config, main as cli

def stage(args, settings, world):
    logging.getLogger("cosmodeep_hpc.a.module").warning("a warning")
    if world.rank == 1 and args.debug:
        raise RuntimeError("made on purpose")
    time.sleep(10 * args.debug)
    return 0

config.run = stage
sys.exit(cli.main(["config", *sys.argv[1:]]))
"""


def test_the_first_rank_speaks(tmp_path):
    job = mpirun(3, "-c", TALKING, "--log", tmp_path / "log")
    assert job.returncode == 0 and job.stdout == "cosmodeep: a warning\n"
    begin, line, end = (tmp_path / "log").read_text().splitlines()
    assert "config on 3 ranks: cosmodeep config --log " in begin and "status 0" in end
    assert line.endswith("WARNING rank 0 cosmodeep_hpc.a.module: a warning")


def test_a_rank_that_fails_alone_is_heard(tmp_path):
    job = mpirun(2, "-c", TALKING, "--debug", "--log", tmp_path / "log")
    line = "fault: RuntimeError: made on purpose"
    assert job.returncode == 1 and f"cosmodeep: rank 1: {line}" in job.stdout
    log = (tmp_path / "log").read_text()
    assert f"ERROR rank 1 cosmodeep_hpc.cli.main: rank 1: {line}" in log and "Traceback" in log


def test_a_log_that_cannot_be_written_is_told_once(tmp_path):
    job = mpirun(2, "-c", TALKING, "--log", tmp_path / "none" / "log")
    assert job.returncode == 2 and job.stdout.count("cannot write it: No such file") == 1
