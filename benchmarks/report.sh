#!/bin/sh
# Runs all benchmarks and prints one table: workload, ours, limit, best peer, both ratios.
#
#   sh benchmarks/report.sh [BUILD_DIRECTORY] [NAME ...]
#
# Without a build directory the preset `bench` is configured and built. Names choose programs: host threads ranges kv kv_prefix device.
# Medians of 7 repetitions in random order of everything in one program. Leave the machine alone meanwhile.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-}
if [ -z "$build" ]; then
  build="$top/build/bench"
  (cd "$top" && cmake --preset bench >/dev/null && cmake --build --preset bench)
fi
[ $# -gt 0 ] && shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# jemalloc keeps more thread-local memory than a program reserves for libraries that it opens later
export GLIBC_TUNABLES="glibc.rtld.optional_static_tls=16384"
for name in ${*:-host threads ranges kv kv_prefix device}; do
  program="$build/bin/benchmark_$name"
  [ -x "$program" ] || { echo "report.sh: no $program" >&2; exit 2; }
  "$program" --benchmark_enable_random_interleaving=true --benchmark_repetitions=7 \
    --benchmark_min_time="${BENCHMARK_MIN_TIME:-0.05}" --benchmark_report_aggregates_only=true \
    --benchmark_format=json >"$out/$name.json" 2>"$out/$name.err" || { cat "$out/$name.err" >&2; exit 1; }
done
python3 "$top/benchmarks/report.py" "$out"/*.json
