#!/bin/sh
# Installs what is missing, builds one preset, and runs its tests.
#
#   cmake/test.sh                       preset dev (ci where CI is set)
#   cmake/test.sh --preset asan         another preset
#   cmake/test.sh -R floors             what follows goes to ctest
#
# Environment: TOKENHEAP_BUILD_ROOT, the folder for build trees (default: build/ in the source tree).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

preset=dev
[ -z "${CI:-}" ] || preset=ci
if [ "${1:-}" = --preset ]; then
  preset=${2:?"test: --preset needs a name; see cmake --list-presets"}
  shift 2
fi
build=${TOKENHEAP_BUILD_ROOT:-$root/build}/$preset

"$root/cmake/deps.sh"
echo "test: preset $preset in $build"
cmake --preset "$preset" -B "$build"
cmake --build "$build" --parallel "$(nproc)"
exec ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$(nproc)" "$@"
