"""`python -m cosmodeep_hpc.doctor`: the doctor alone, without the command line's imports."""

from cosmodeep_hpc.doctor.checks import run

if __name__ == "__main__":
    raise SystemExit(run())
