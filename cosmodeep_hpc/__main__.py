"""`python -m cosmodeep_hpc` is the command `cosmodeep`."""

from cosmodeep_hpc.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
