"""What the command says of what the package logs, and that the package alone says nothing."""

import logging
import subprocess
import sys

import pytest
from support.launch import unlaunched

from cosmodeep_hpc import __version__
from cosmodeep_hpc.cli import config, output
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.parallel.signals import IDLE, STOPPED

LOGGER = logging.getLogger("cosmodeep_hpc.a.module")


@pytest.fixture
def talking(monkeypatch):
    """`cosmodeep config`, put in its place: a stage that says something of each kind."""

    def stage(args, settings, world):
        LOGGER.debug("a detail")
        LOGGER.info("a note")
        LOGGER.warning("a warning\nof two lines")
        LOGGER.error("an error")
        progress = output.progress_of("things", args, world)
        progress(1, 1)
        output.say(world, "a result")
        return 0

    monkeypatch.setattr(config, "run", stage)


NOTES = ["cosmodeep: a note", "cosmodeep: a warning of two lines"]
OF_JOB = ("cosmodeep: cli.main: version ", "cosmodeep: cli.main: config ended ")
ERROR, BAR = "cosmodeep: an error", "things: 1/1, 0 s"


@pytest.mark.parametrize(
    "words, said",
    [
        ([], [*NOTES, ERROR, BAR]),
        (["--quiet"], [ERROR]),
        (["--verbose"], ["cosmodeep: a.module: a detail", *NOTES, ERROR, BAR]),
    ],
)
def test_how_loud_the_command_is(talking, capfd, words, said):
    assert main(["config", *words]) == 0
    out, err = capfd.readouterr()
    assert out == "a result\n"
    assert [line for line in err.splitlines() if not line.startswith(OF_JOB)] == said


def test_a_log_gathers_the_jobs_messages(talking, capfd, tmp_path):
    """Jobs add to it, from their begin to their end, and it has what no terminal is shown."""
    log = tmp_path / "my job.log"
    for _ in range(2):
        assert main(["config", "--quiet", "--log", str(log)]) == 0
    lines = [line.split(" ", 2)[2] for line in log.read_text().splitlines() if line[:2] == "20"]
    begin = f"version {__version__}, config on 1 rank: cosmodeep config --quiet --log '{log}'"
    assert lines[0] == f"DEBUG rank 0 cosmodeep_hpc.cli.main: {begin}"
    assert lines[len(lines) // 2 - 1].startswith(
        "DEBUG rank 0 cosmodeep_hpc.cli.main: config ended with status 0 after "
    )
    assert [line for line in lines if "cli.main" not in line] == 2 * [
        "DEBUG rank 0 cosmodeep_hpc.a.module: a detail",
        "INFO rank 0 cosmodeep_hpc.a.module: a note",
        "WARNING rank 0 cosmodeep_hpc.a.module: a warning",
        "ERROR rank 0 cosmodeep_hpc.a.module: an error",
    ]


def test_a_log_has_the_traceback_of_a_fault_and_the_terminal_its_line(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(config, "run", lambda *_: 1 // 0)
    log = tmp_path / "job.log"
    assert main(["config", "--log", str(log)]) == 1
    line = "fault: ZeroDivisionError: integer division or modulo by zero"
    assert capfd.readouterr().err.startswith(f"cosmodeep: {line}")
    assert f"ERROR rank 0 cosmodeep_hpc.cli.main: {line}" in log.read_text()
    assert "Traceback" in log.read_text()


def test_bad_input_is_one_line_of_the_log(tmp_path):
    log = tmp_path / "job.log"
    words = ["train", "--tiles", str(tmp_path), "--out", str(tmp_path / "o"), "--log", str(log)]
    assert main(words) == 2
    _, line, end = log.read_text().splitlines()
    assert "index.json: no such file" in line
    assert "train ended with status 2" in end


def test_a_log_that_cannot_be_written_is_refused(talking, capfd, tmp_path):
    log = tmp_path / "none" / "job.log"
    assert main(["config", "--log", str(log)]) == 2
    line = f"cosmodeep: {log}: cannot write it: No such file or directory\n"
    assert capfd.readouterr().err == line


def test_quiet_and_verbose_exclude_each_other(capfd):
    assert main(["config", "--quiet", "--verbose"]) == 2
    assert "not allowed with" in capfd.readouterr().err


def test_the_command_leaves_the_loggers_as_it_found_them(talking, tmp_path):
    logger = logging.getLogger("cosmodeep_hpc")
    before = list(logger.handlers), logger.level, logger.propagate
    assert main(["config", "--log", str(tmp_path / "job.log")]) == 0
    assert (list(logger.handlers), logger.level, logger.propagate) == before


LIBRARY = """
import logging
import cosmodeep_hpc
from cosmodeep_hpc.io import messages
logging.getLogger("cosmodeep_hpc.a.module").warning("a warning")
assert not logging.getLogger().handlers
"""


def test_a_library_says_nothing_by_itself():
    job = subprocess.run(
        [sys.executable, "-c", LIBRARY], env=unlaunched(), capture_output=True, text=True
    )
    assert (job.returncode, job.stdout, job.stderr) == (0, "", "")


def test_a_name_that_the_terminal_cannot_print_is_no_fault():
    program = "from cosmodeep_hpc.io.messages import print_result; print_result('f\\xe9ld \\udcff')"
    for code, said in (("ascii", b"f\\xe9ld \\udcff\n"), ("utf-8", b"f\xc3\xa9ld \\udcff\n")):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={**unlaunched(), "PYTHONIOENCODING": f"{code}:strict"},
            capture_output=True,
            check=True,
        )
        assert ended.stdout == said


def test_a_reader_that_has_left_is_no_fault():
    """As of `cosmodeep config | head`."""
    words = f"{sys.executable} -m cosmodeep_hpc config | head -n 1 && exit ${{PIPESTATUS[0]}}"
    job = subprocess.run(
        ["bash", "-c", words], env=unlaunched(), capture_output=True, text=True, timeout=60
    )
    assert (job.returncode, job.stderr) == (0, "")


SPEAKING = """
import logging, os
from contextlib import suppress
from pathlib import Path
from cosmodeep_hpc.cli import config, output
from cosmodeep_hpc.cli.main import main

def stage(args, settings, world):
    with Path("made").open("wb", buffering=0) as file:
        logging.getLogger("cosmodeep_hpc.a.module").warning("a warning")
        output.progress_of("things", args, world)(1, 1)
        with suppress(OSError):
            os.write(2, b"a library in C\\n")
        file.write(b"whole")
    output.say(world, "a result")
    return 0

config.run = stage
raise SystemExit(main(["config"]))
"""
WARNED = "cosmodeep: a warning\nthings: 1/1, 0 s\na library in C\n"
LOST = "cosmodeep: standard output: cannot write the results to it: No space left on device; "


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "streams, status, out, err",
    [
        ("2>&-", 0, "a result\n", ""),
        ("2>/dev/full", 0, "a result\n", ""),
        (">&-", 0, "", WARNED),
        (">/dev/full", 2, "", WARNED + LOST + "files that were made are whole\n"),
        ("<&- >&- 2>&-", 0, "", ""),
        (">/dev/full 2>&-", 2, "", ""),
    ],
)
def test_what_cannot_be_shown_ends_no_work(tmp_path, streams, status, out, err, unbuffered):
    """Of a closed or full stream; only results that a disk does not take are an error."""
    words = ["bash", "-c", f'exec "$@" {streams}', "bash", sys.executable, "-c", SPEAKING]
    env = {**unlaunched(), "PYTHONUNBUFFERED": unbuffered}
    job = subprocess.run(words, env=env, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (job.returncode, job.stdout, job.stderr) == (status, out, err)
    assert (tmp_path / "made").read_text() == "whole"  # what lacks a stream is not written into it


@pytest.mark.parametrize("words", [["--help"], ["classify", "--help"], ["--version"], ["models"]])
def test_results_that_a_full_disk_does_not_take_are_one_line(words):
    job = subprocess.run(
        [
            "bash",
            "-c",
            'exec "$@" >/dev/full',
            "bash",
            sys.executable,
            "-m",
            "cosmodeep_hpc",
            *words,
        ],
        env={**unlaunched(), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (job.returncode, job.stderr) == (2, LOST + "files that were made are whole\n")


@pytest.mark.parametrize("done, status", [(3, STOPPED), (0, IDLE)])
def test_a_job_that_is_to_be_started_again_says_so_by_its_status_on_a_full_disk(done, status):
    code = (
        "from pathlib import Path\n"
        "from cosmodeep_hpc.cli.output import say_stopped\n"
        "from cosmodeep_hpc.parallel.signals import StopRequest\n"
        "from cosmodeep_hpc.parallel.world import alone\n"
        f"stop = StopRequest(); stop.done = {done}\n"
        "raise SystemExit(say_stopped(alone(), Path('out'), stop))"
    )
    words = ["bash", "-c", 'exec "$@" >/dev/full', "bash", sys.executable, "-c", code]
    job = subprocess.run(words, env=unlaunched(), capture_output=True, text=True, timeout=60)
    assert (job.returncode, job.stderr) == (status, "")


@pytest.mark.parametrize("loudness", [[], ["--quiet"]])
def test_a_log_on_a_full_disk_is_said_once_and_ends_no_work(talking, capfd, loudness):
    assert main(["config", "--log", "/dev/full", *loudness]) == 0
    out, err = capfd.readouterr()
    assert out == "a result\n"
    line = "cosmodeep: /dev/full: cannot write the log: No space left on device; messages are miss"
    assert [said[: len(line)] for said in err.splitlines()].count(line) == 1
    assert len(err.splitlines()) == (2 if loudness else 5)


def test_a_log_takes_names_of_any_bytes(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(config, "run", lambda *_: LOGGER.warning("f\xe9ld \udcff") or 0)
    log = tmp_path / "job.log"
    assert main(["config", "--log", str(log)]) == 0
    assert "WARNING rank 0 cosmodeep_hpc.a.module: f\xe9ld \\udcff\n" in log.read_text("utf-8")
    assert "Traceback" not in capfd.readouterr().err
