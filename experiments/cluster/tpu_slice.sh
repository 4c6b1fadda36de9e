#!/usr/bin/env bash
# One process per host of a Cloud TPU slice, started over ssh from your own machine.
# The repository lies on every host, in --dir, with its environment set up:
#
#   experiments/cluster/tpu_slice.sh --name my-slice --zone us-central2-b \
#     .venv/bin/python -m experiments.quickstart --run_dir /mnt/runs/q --mesh.data 32
#   experiments/cluster/tpu_slice.sh --dry-run --hosts 10.0.0.2,10.0.0.3 \
#     --name my-slice --zone us-central2-b COMMAND...
#
# The run directory must be one that all hosts share. When a host fails, the others
# are ended; run the same command again to go on from the checkpoint.
set -euo pipefail

# shellcheck source=hosts.sh
source "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"

dry_run=false hosts='' name='' zone='' dir=hero_jax
while [[ ${1:-} == --* ]]; do
  case $1 in
    --dry-run) dry_run=true; shift ;;
    --hosts) hosts=$(value_of "$@"); shift 2 ;;
    --name) name=$(value_of "$@"); shift 2 ;;
    --zone) zone=$(value_of "$@"); shift 2 ;;
    --dir) dir=$(value_of "$@"); shift 2 ;;
    *) fail "$1: unknown option; expected --dry-run, --hosts, --name, --zone, --dir" ;;
  esac
done
[[ -n $name && -n $zone ]] || fail "which slice? give --name and --zone"
(($#)) || fail "no command; give one, such as python -m experiments.quickstart"
if [[ -z $hosts ]]; then
  hosts=$(gcloud compute tpus tpu-vm describe "$name" --zone="$zone" \
    --format='value[delimiter=" "](networkEndpoints[].ipAddress)' 2>/dev/null) ||
    fail "gcloud cannot describe $name in $zone; log in with it, or give --hosts"
fi
read -r -d '' -a addresses <<<"${hosts//,/ }" || true
((${#addresses[@]})) || fail "--hosts: found no address in '$hosts', expected A,B"
coordinator=${addresses[0]}:8476

# The ssh command of host INDEX, as words in the array `ssh`.
ssh_command() {
  local index=$1
  shift
  local line
  line=$(host_command "$coordinator" "${#addresses[@]}" "$index" "$@")
  ssh=(gcloud compute tpus tpu-vm ssh "$name" "--zone=$zone" "--worker=$index"
    "--command=cd $(printf %q "$dir") && $line")
}

if $dry_run; then
  for index in "${!addresses[@]}"; do
    ssh_command "$index" "$@"
    printf '%s:' "${addresses[index]}"
    printf ' %q' "${ssh[@]}"
    echo
  done
  exit
fi

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for index in "${!addresses[@]}"; do
  ssh_command "$index" "$@"
  "${ssh[@]}" &
done
for _ in "${addresses[@]}"; do
  wait -n  # the first failure ends the script, and the trap ends the rest
done
