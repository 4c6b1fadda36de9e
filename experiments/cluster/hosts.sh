# What the launch scripts share: the command line of one host. Sourced, not run.

# host_command COORDINATOR COUNT INDEX COMMAND...
# The command with the three variables that hero_jax reads to find its peers, quoted
# so that a shell reads it back word for word.
host_command() {
  local coordinator=$1 count=$2 index=$3
  shift 3
  printf 'HERO_COORDINATOR=%q HERO_NUM_PROCESSES=%q HERO_PROCESS_ID=%q' \
    "$coordinator" "$count" "$index"
  printf ' %q' "$@"
}

# value_of OPTION VALUE...: the value behind an option.
value_of() {
  [[ -n ${2:-} && ${2:-} != --* ]] || fail "$1: expected a value behind it"
  printf '%s' "$2"
}

# fail MESSAGE: one line, and the exit code of bad input.
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 2
}
