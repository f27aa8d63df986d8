#!/bin/bash
# Copy the files of a folder to this node's own disk. Read each file once, and its copy again to check it:
#   bash slurm/stage.sh FROM TO
# launch.sh runs it on every node of a job where STAGE_IN is set.
set -euo pipefail

from=$1 to=$2

say() {
    echo "stage-in on $(hostname): $*" >&2
}

mkdir -p -- "$to" || { say "$to: cannot make this folder" && exit 2; }
needed=$(du -skL -- "$from" | cut -f 1)
free=$(df -Pk -- "$to" | awk 'END {print $4}')
if [ "$needed" -gt "$free" ]; then
    say "$to: $((free / 1024)) MiB free; expected at least the $((needed / 1024)) MiB of $from"
    exit 2
fi
count=0
while IFS= read -r -d '' file; do
    mkdir -p -- "$(dirname -- "$to/$file")"
    sum=$(tee -- "$to/$file" <"$from/$file" | sha256sum) ||
        { say "$to/$file: cannot copy $from/$file here" && exit 1; }
    if [ "$sum" != "$(sha256sum <"$to/$file")" ]; then
        say "$to/$file: the copy differs from $from/$file: this disk is damaged"
        exit 1
    fi
    count=$((count + 1))
done < <(cd -- "$from" && find -L . -type f -printf '%P\0' | sort -z)
say "$count files, $((needed / 1024)) MiB, of $from in ${SECONDS} s"
