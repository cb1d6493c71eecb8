#!/usr/bin/env bash
# One list as 64 shards, each a task of an array, on the cluster's shared disk:
#
#   sbatch slurm.sh urls.txt pages [options of fetchpool get]
#
# The array says how many shards there are; --shard auto reads that. A task that was stopped is queued again
# and goes on where it was. The whole array runs at once if there is room: no %limit behind it.
#SBATCH --job-name=fetchpool
#SBATCH --array=0-63
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=fetchpool-%A_%a.log
set -uo pipefail

list=${1:?usage: sbatch slurm.sh LIST DEST [OPTION...]}
dest=${2:?usage: sbatch slurm.sh LIST DEST [OPTION...]}
shift 2

# SLURM's signal reaches this shell alone (B:), two minutes before the time is over.
child= is_told=
tell() {
  is_told=yes
  if [ -n "$child" ]; then kill -TERM "$child"; fi
}
trap tell TERM
fetchpool get "$list" -o "$dest" --shard auto "$@" &
child=$!
if [ -n "$is_told" ]; then tell; fi # it came before it was known whom to tell
wait "$child"
status=$?
while kill -0 "$child" 2> /dev/null; do # the trap has ended the wait
  wait "$child"
  status=$?
done

case $status in
  75 | 143)
    if ((${SLURM_RESTART_COUNT:-0} < 10)); then
      scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    fi
    ;;
esac
exit "$status"
