#!/bin/bash
# The tests of jobs in two halves, side by side, since each spends half its time waiting: those of MPI ranks;
# those under Slurm, and then the whole way end to end.
#   tests/at_once.sh PYTHON [WORD OF PYTEST...]
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$1" -m pytest tests/slurm tests/e2e "${@:2}" >"$log" 2>&1 &
"$1" -m pytest tests/mpi "${@:2}"
ranks=$?
echo '== meanwhile, under Slurm and end to end:'
wait $!
others=$?
cat "$log"
exit $((ranks > others ? ranks : others))
