#!/bin/sh
# Installs the Debian 12 packages that tokenheap's own builds need; using the library needs a compiler alone.
#
#   cmake/deps.sh             everything: tests, examples, benchmarks, clang, sanitizers
#   cmake/deps.sh program     what the program `tokenheap` needs, and no more
#   cmake/deps.sh engines     what cmake/engines.sh needs besides
#   cmake/deps.sh --list      prints the list with the reasons and installs nothing
#
# Installs what is missing, says so first, and returns at once when nothing is. Needs root or sudo only then.
set -eu

# group, package, reason
packages() {
  cat <<'LIST'
program g++                   the compiler
program cmake                 configures by preset (3.25)
program ninja-build           builds
program libcli11-dev          command line of the program tokenheap
program libfmt-dev            tables and text in examples and benchmarks
program nlohmann-json3-dev    JSON of the planner and the program, and a second reader in tests
program libxxhash-dev         hashes of prompt prefixes
program libhiredis-dev        the tier in Redis: tokenheap serve --tiers redis:HOST:PORT
test    ccache                makes the second build fast
test    pkg-config            a consumer test builds with it
test    python3               the checks of this tree: floors, mirror, headers, docs, house
test    git                   the consumer test of a fresh clone
test    catch2                unit tests
test    clang-14              the second compiler
test    libclang-rt-14-dev    its sanitizer run times
test    valgrind              its client header, for the guard's annotations
test    redis-server          the tests of the Redis tier start it
test    libbenchmark-dev      benchmarks
test    liburing-dev          reads and writes of the file tier beside its caller
test    libcpp-httplib-dev    the example that serves metrics over HTTP
test    prometheus            its promtool judges the metrics
test    chromium              opens the report
test    chromium-driver       drives it
test    python3-selenium      the driver's words
test    dpkg-dev              the Debian package of the program asks it for its dependencies
test    doxygen               the reference of the API
test    libmimalloc-dev       peer in the benchmarks
test    libjemalloc-dev       peer in the benchmarks
test    libgoogle-perftools-dev peer in the benchmarks: tcmalloc
test    libboost-dev          peer in the benchmarks: Boost.Pool
engines python3-venv          the virtual environment of cmake/engines.sh
LIST
}

group=${1:-all}
case $group in
  all | program | engines) ;;
  --list)
    packages
    exit 0
    ;;
  *)
    echo "deps: '$group' is none of: all, program, engines, --list" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "deps: not a Debian system; nothing installed. What the builds need:" >&2
  packages >&2
  exit 0
fi

missing=$(packages | while read -r of package reason; do
  [ "$of" = "$group" ] || { [ "$group" = all ] && [ "$of" != engines ]; } || continue
  state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  case $state in
    ii*) ;;
    *) printf '%s ' "$package" ;;
  esac
done)

if [ -z "$missing" ]; then
  echo "deps: every package is there"
  exit 0
fi

echo "deps: installing $missing"
if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null 2>&1; then
  as_root=sudo
else
  echo "deps: neither root nor sudo; run this as root: apt-get install $missing" >&2
  exit 1
fi

$as_root apt-get -qq -o DPkg::Lock::Timeout=120 update
# shellcheck disable=SC2086  # the list is meant to split
$as_root env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing >/dev/null
echo "deps: done"
