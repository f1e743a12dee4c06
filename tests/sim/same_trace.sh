#!/usr/bin/env bash
# Same seed, same trace (S12): builds the scheduler core and the simulation with g++ and clang, unoptimised and
# optimised, and compares the digests of everything that happened. Usage: same_trace.sh SEEDS SOURCE...
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
seeds=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One translation unit: the headers are most of the work.
for source in "$@"; do echo "#include \"$source\""; done >"$scratch/all.cpp"

compilers=(g++)
for clang in clang++ clang++-16; do
  if command -v "$clang" >/dev/null; then compilers+=("$clang"); break; fi
done
build() { "$1" -std=c++20 "$2" -w -I"$root" "$scratch/all.cpp" -lfmt -o "$scratch/sim-$1$2"; }

expected=
for compiler in "${compilers[@]}"; do
  for level in -O0 -O2; do
    build "$compiler" "$level"
    digest=$("$scratch/sim-$compiler$level" --seeds "$seeds" --digest)
    echo "$digest  $compiler $level"
    [[ -z $expected || $digest == "$expected" ]] || { echo "the traces differ" >&2; exit 1; }
    expected=$digest
  done
done
((${#compilers[@]} == 2)) || { echo "skipped: clang (not installed)"; exit 77; }
