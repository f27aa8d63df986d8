"""`python -m cosmodeep_hpc.doctor`: the doctor alone, which needs nothing of the command line."""

from cosmodeep_hpc.doctor.checks import run

if __name__ == "__main__":
    raise SystemExit(run())
