#!/usr/bin/env bash
# Same seed, same trace (S12): compares the digests of everything that happened in the simulation as it was built, and
# in builds of the same sources with g++ and clang, unoptimised and optimised.
# Usage: same_trace.sh SEEDS BUILT HOW SOURCE..., where HOW is GNU-Release when g++ built it optimised.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
seeds=$1
built=$2
built_how=$3
shift 3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One translation unit: the headers are most of the work.
for source in "$@"; do echo "#include \"$source\""; done >"$scratch/all.cpp"

compilers=(g++)
for clang in clang++ clang++-16; do
  if command -v "$clang" >/dev/null; then compilers+=("$clang"); break; fi
done
build() { "$1" -std=c++20 "$2" -w -I"$root" "$scratch/all.cpp" -lfmt -o "$scratch/sim-$1$2"; }

expected=$("$built" --seeds "$seeds" --digest)
echo "$expected  as built"
for compiler in "${compilers[@]}"; do
  for level in -O0 -O2; do
    [[ $compiler$level != g++-O2 || $built_how != GNU-Release ]] || continue  # is what was built
    build "$compiler" "$level"
    digest=$("$scratch/sim-$compiler$level" --seeds "$seeds" --digest)
    echo "$digest  $compiler $level"
    [[ $digest == "$expected" ]] || { echo "the traces differ" >&2; exit 1; }
  done
done
((${#compilers[@]} == 2)) || { echo "skipped: clang (not installed)"; exit 77; }
