#!/bin/bash
# The tests of jobs: those under Slurm beside those outside of it, since each spends half its time waiting.
#   tests/at_once.sh PYTHON
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$1" -m pytest tests/slurm >"$log" 2>&1 &
"$1" -m pytest tests/e2e tests/mpi
outside=$?
echo '== meanwhile, under Slurm:'
wait $!
under=$?
cat "$log"
exit $((outside > under ? outside : under))
