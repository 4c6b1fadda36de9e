#!/usr/bin/env bash
# One process per Slurm node, each with all accelerators of its node:
#
#   sbatch --nodes=2 --gpus-per-node=8 experiments/cluster/slurm.sh \
#     .venv/bin/python -m experiments.quickstart --run_dir runs/quickstart --mesh.data 16
#   experiments/cluster/slurm.sh --dry-run --hosts node1,node2 COMMAND...
#
# Two minutes before the time limit, or when preempted, every process gets SIGTERM,
# saves and exits with 143; the job then queues itself again, and the same command
# goes on from the checkpoint.
#SBATCH --job-name=hero
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=hero-%j.log
set -euo pipefail

# Slurm runs a copy of this script; the original lies where the job was submitted.
here=$(dirname "${BASH_SOURCE[0]}")
[[ -f $here/hosts.sh ]] || here=${SLURM_SUBMIT_DIR:-.}/experiments/cluster
# shellcheck source=hosts.sh
source "$here/hosts.sh"

dry_run=false hosts=
while [[ ${1:-} == --* ]]; do
  case $1 in
    --dry-run) dry_run=true; shift ;;
    --hosts) hosts=$(value_of "$@"); shift 2 ;;
    *) fail "$1: unknown option; expected --dry-run, --hosts A,B or a command" ;;
  esac
done
(($#)) || fail "no command; give one, such as python -m experiments.quickstart"
if [[ -z $hosts ]]; then
  [[ -n ${SLURM_JOB_NODELIST:-} ]] || fail "not in a Slurm job; use sbatch, or --hosts A,B"
  hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
fi
read -r -d '' -a names <<<"${hosts//,/ }" || true
((${#names[@]})) || fail "--hosts: found no name in '$hosts', expected A,B"
# A port that jobs on one node do not share.
coordinator=${names[0]}:$((20000 + ${SLURM_JOB_ID:-0} % 20000))

if $dry_run; then
  for index in "${!names[@]}"; do
    line=$(host_command "$coordinator" "${#names[@]}" "$index" "$@")
    printf '%s: %s\n' "${names[index]}" "$line"
  done
  exit
fi

export HERO_COORDINATOR=$coordinator HERO_NUM_PROCESSES=${#names[@]}
status=0
# shellcheck disable=SC2016  # expanded by the shell of each task
srun --kill-on-bad-exit=1 bash -c 'HERO_PROCESS_ID=$SLURM_PROCID exec "$@"' task "$@" ||
  status=$?
((status != 143)) || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
