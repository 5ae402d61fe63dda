#!/bin/sh
# Runs real engines on our memory: installs what PyPI has of them, builds our shared libraries, runs tests/engines/*.py,
# prints a table and writes docs/engines.md.
#
#   cmake/engines.sh                 everything
#   cmake/engines.sh --no-install    with the engines that are there
#   cmake/engines.sh --no-write      leaves docs/engines.md alone
#   cmake/engines.sh --gpu           no GPU is an error; without it the rows of the GPU say that they were skipped
#   cmake/engines.sh llama cccl      these proofs alone; docs/engines.md stays
#
# Environment: TOKENHEAP_ENGINES, the virtual environment (default: build/engines); GGML_SOURCE_DIR, ggml's sources
# (default: those that llama-cpp-python ships); TOKENHEAP_BUILD_ROOT, the folder for build trees (default: build/).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build_root=${TOKENHEAP_BUILD_ROOT:-$root/build}
engines=${TOKENHEAP_ENGINES:-$build_root/engines}
build=$build_root/engine_libraries
install=yes
passed=
for word in "$@"; do
  case $word in
    --no-install) install=no ;;
    --gpu | --no-write) passed="$passed $word" ;;
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "engines: '$word' is none of: --no-install, --no-write, --gpu" >&2; exit 2 ;;
    *) passed="$passed $word" ;;
  esac
done

version_of() { sed -n "s/^$1==//p" "$root/cmake/engines.txt"; }

if [ $install = yes ]; then
  "$root/cmake/deps.sh" program
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then "$root/cmake/deps.sh" engines; fi
  if ! [ -x "$engines/bin/python" ]; then python3 -m venv "$engines"; fi
  if ! cmp -s "$root/cmake/engines.txt" "$engines/installed.txt"; then
    echo "engines: installing into $engines; llama.cpp is compiled, which takes minutes"
    "$engines/bin/python" -m pip install --quiet --upgrade pip
    sed '/^# alone$/,$d' "$root/cmake/engines.txt" >"$engines/required.txt"
    "$engines/bin/python" -m pip install --quiet -r "$engines/required.txt"
    sed '1,/^# alone$/d' "$root/cmake/engines.txt" >"$engines/alone.txt"
    "$engines/bin/python" -m pip install --quiet --no-deps -r "$engines/alone.txt"
    cp "$root/cmake/engines.txt" "$engines/installed.txt"
  fi
fi
[ -x "$engines/bin/python" ] || { echo "engines: no $engines/bin/python; leave out --no-install" >&2; exit 1; }

# ggml's headers are in the sources of llama-cpp-python alone
sources=$engines/sources
llama=$sources/llama_cpp_python-$(version_of llama-cpp-python)
if [ -z "${GGML_SOURCE_DIR:-}" ]; then
  if [ $install = yes ] && ! [ -d "$llama" ]; then
    mkdir -p "$sources"
    "$engines/bin/python" -m pip download --quiet --no-deps --no-binary llama-cpp-python -d "$sources" \
      "llama-cpp-python==$(version_of llama-cpp-python)"
    tar -xf "$llama.tar.gz" -C "$sources"
  fi
  if [ -d "$llama/vendor/llama.cpp/ggml" ]; then GGML_SOURCE_DIR=$llama/vendor/llama.cpp/ggml; fi
fi
export GGML_SOURCE_DIR="${GGML_SOURCE_DIR:-}"

echo "engines: building the shared libraries in $build"
cd "$root"
torch=$("$engines/bin/python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")')
cmake --preset release -B "$build" --log-level=WARNING --no-warn-unused-cli -DTOKENHEAP_BUILD_PROGRAM=OFF -DTOKENHEAP_CHECK_TREE=OFF \
  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$build/lib" -DTOKENHEAP_TORCH_DIR="$torch" -DGGML_SOURCE_DIR="$GGML_SOURCE_DIR" \
  -DTOKENHEAP_ENGINES="$engines"
# every shared library, and the small programs that proofs run; of tests the library over the made-up CUDA runtime
targets=$(ninja -C "$build" -t targets all | sed -n \
  -e 's/^\([^ ]*lib\(tokenheap\|fake\)_[^ ]*\): C[X]*_SHARED_LIBRARY_LINKER__.*/\1/p' \
  -e '/program/!s/^\([^ ]*\): C[X]*_EXECUTABLE_LINKER__tokenheap_.*/\1/p')
# shellcheck disable=SC2086  # the list is meant to split
ninja --quiet -C "$build" $targets

# shellcheck disable=SC2086
exec "$engines/bin/python" "$root/cmake/engines.py" "$build/lib" "$root" $passed
