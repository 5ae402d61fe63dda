#!/bin/sh
# On a machine with a GPU: builds and runs the tests, the soak and the benchmark that need one, and prints one report.
#
#   cmake/gpu.sh [BUILD]            BUILD: build/gpu if not named
#
# Leaves with 0 if all that could run was right, 1 if something was not, 77 if there is no GPU or no nvcc.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/gpu}
mkdir -p "$build/bin"
failed=0

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || { echo "no nvcc: install the CUDA toolkit, 12.0 or later"; exit 77; }
compile() { echo "== nvcc $1"; "$nvcc" -std=c++20 -O2 -I include "$1" -o "$2" || exit 1; }

compile benchmarks/gpu/speed.cu "$build/bin/gpu_speed"
compile tests/gpu/soak.cu "$build/bin/gpu_soak"

"$build/bin/gpu_soak" 1 >"$build/probe.txt" 2>&1
if [ $? -eq 77 ]; then
  cat "$build/probe.txt"
  echo "no GPU here: both programs compile and link; run this script where there is one"
  exit 77
fi

echo "== machine"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
"$nvcc" --version | tail -2

echo "== unit tests"
if cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTOKENHEAP_BUILD_EXAMPLES=OFF -DTOKENHEAP_BUILD_PROGRAM=OFF \
      -DTOKENHEAP_BUILD_BENCHMARKS=OFF -DTOKENHEAP_CHECK_TREE=OFF >"$build/configure.txt" 2>&1 &&
   cmake --build "$build" --target tests_gpu >"$build/build.txt" 2>&1; then
  ctest --test-dir "$build" -L gpu --output-on-failure || failed=1
else
  echo "left out: they need cmake 3.24, ninja and Catch2 (see $build/configure.txt and $build/build.txt)"
fi

echo "== soak"
for seed in 1 2 3; do "$build/bin/gpu_soak" 20000 $seed || failed=1; done

echo "== compute-sanitizer"
if command -v compute-sanitizer >/dev/null; then
  compute-sanitizer --tool memcheck --error-exitcode 9 "$build/bin/gpu_soak" 300 4 || failed=1
  compute-sanitizer --tool racecheck --error-exitcode 9 "$build/bin/gpu_soak" 300 5 || failed=1
else
  echo "left out: compute-sanitizer is not installed"
fi

echo "== speed, nanoseconds for each operation"
"$build/bin/gpu_speed" || failed=1
python3 benchmarks/gpu/torch_rows.py 2>/dev/null || echo "PyTorch is left out: no python3"

[ $failed -eq 0 ] && echo "all right" || echo "something failed"
exit $failed
