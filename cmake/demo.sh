#!/bin/sh
# Installs what is missing, builds the program, and serves a trace of requests out of memory that tokenheap manages.
#
#   cmake/demo.sh                       tokenheap serve, with its own generated trace
#   cmake/demo.sh --json                what follows goes to tokenheap serve
#
# The last line names a page with pictures of the run, unless --out names another folder for it.
#
# Environment: TOKENHEAP_BUILD_ROOT, the folder for build trees (default: build/ in the source tree).
set -eu

called_from=$(pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
build=${TOKENHEAP_BUILD_ROOT:-$root/build}/release

# the program alone writes to standard output, so that --json can be piped on
{
  "$root/cmake/deps.sh" program
  echo "demo: building the program in $build"
  cd "$root"
  cmake --preset release -B "$build" --log-level=WARNING
  cmake --build "$build" --parallel "$(nproc)" --target tokenheap_program
} >&2

# names of files are the caller's
cd "$called_from"
case " $* " in
  *" --out"[\ =]* | *" --help "* | *" -h "*) exec "$build/bin/tokenheap" serve "$@" ;;
  *) exec "$build/bin/tokenheap" serve --out "$build/report" "$@" ;;
esac
