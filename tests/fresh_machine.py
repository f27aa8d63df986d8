"""Try the project as a newcomer would: in a bare Debian root, of a clone of what is committed.

    python tests/fresh_machine.py SUITE [--user] COMMAND ...
        such as: bookworm make demo; trixie --user make test

The root, made anew each time, has what a clone needs (git, make) and nothing more. As root the
set-up installs the rest; a user (--user) is first refused with the packages to ask for, which are
then installed. Needs root and debootstrap (containers/debianroot.py), 2 minutes and 5 GB.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "containers"))
from debianroot import cache, connected, fresh, run, why_none, within  # noqa: E402

USER, NUMBER = "newcomer", 1000
CLONE = f"/home/{USER}/cosmodeep_hpc"


@dataclass(frozen=True)
class Machine:
    """A bare root with the project cloned in it.

    Attributes:
        root: its folder on this machine.
        environment, binds: what connects it (debianroot.connected).
    """

    root: Path
    environment: dict[str, str]
    binds: dict[Path, Path]

    def words(self, command: str, *, user: bool) -> list[str]:
        """The words that run a line of shell in the clone."""
        become = ["setpriv", f"--reuid={NUMBER}", f"--regid={NUMBER}", "--clear-groups"]
        shell = [*(become if user else ()), "bash", "-ec", f"cd {CLONE} && {command}"]
        return within(self.root, self.binds, shell, writable=True)

    def variables(self, *, user: bool) -> dict[str, str]:
        """The environment of such a command; a user has caches of their own."""
        if not user:
            return self.environment
        left = ("COSMODEEP_CACHE", "PIP_CACHE_DIR")
        kept = {k: v for k, v in self.environment.items() if k not in left}
        return {**kept, "HOME": f"/home/{USER}", "USER": USER}


def prepare(machine: Machine, suite: str) -> None:
    """Put into a bare root what a newcomer has: git, make, an account, the clone."""
    line = (
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "
        f"--no-install-recommends ca-certificates git make && useradd -m -u {NUMBER} {USER}"
    )
    words = within(machine.root, machine.binds, ["bash", "-ec", line], writable=True)
    run(f"fresh-{suite}-git", words, machine.environment)
    clone = ["git", "clone", "-q", str(PROJECT), str(machine.root / CLONE.lstrip("/"))]
    subprocess.run(clone, check=True)


def ask(machine: Machine) -> None:
    """Set up as a user, be refused, and have the administrator install what was asked for."""
    refused = subprocess.run(
        machine.words("make env", user=True),
        env=machine.variables(user=True),
        capture_output=True,
        text=True,
    )
    found = re.search(r"Debian, Ubuntu: +apt-get install (.*)", refused.stderr)
    if refused.returncode == 0 or not found:
        raise SystemExit(f"expected to be told what to ask for, found:\n{refused.stderr}")
    print(f"asked for: {found[1]}", flush=True)
    line = f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {found[1]}"
    subprocess.run(
        machine.words(line, user=False),
        env=machine.environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def main(words: Sequence[str]) -> int:
    """Make the root, run the command in it, say how long it took; its status is the command's."""
    match list(words):
        case [suite, "--user", *command] if command:
            user = True
        case [suite, *command] if command and not command[0].startswith("-"):
            user = False
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    wrong = why_none()
    if wrong:
        print(f"fresh_machine.py: {wrong}", file=sys.stderr)
        return 2
    root = cache() / f"fresh-{suite}-{USER if user else 'root'}"
    fresh(suite, root)
    with connected(root) as (environment, binds):
        machine = Machine(root, environment, binds)
        prepare(machine, suite)
        line = " ".join(command)
        if user:
            owner = f"{NUMBER}:{NUMBER}"
            subprocess.run(["chown", "-R", owner, root / f"home/{USER}"], check=True)
            ask(machine)
        begun = time.monotonic()
        done = subprocess.run(machine.words(line, user=user), env=machine.variables(user=user))
    who = "a user" if user else "root"
    print(f"{suite}, as {who}: {line}: status {done.returncode}, {time.monotonic() - begun:.0f} s")
    return done.returncode


if __name__ == "__main__":
    os.umask(0o022)
    raise SystemExit(main(sys.argv[1:]))
