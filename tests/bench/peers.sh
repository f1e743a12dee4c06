#!/usr/bin/env bash
# Caudal beside what a Python user has at hand: Hugging Face transformers on the same GPU, the same random-weight model
# and requests. Uses the machine's own torch and transformers; says so and ends with 0 where they are missing.
#   tests/bench/peers.sh [--build DIR] [--output DIR] [--model DIR] [--requests N]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build="$root/build/cuda"
output=$(mktemp -d)
model="$root/tests/bench/models/qwen2.5-0.5b"
requests=64
while [[ $# -gt 0 ]]; do
  case "$1" in
    --build) build=$2 ;;
    --output) output=$2 ;;
    --model) model=$2 ;;
    --requests) requests=$2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
input=256 new_tokens=128
folder="$output/peer-model"
mkdir -p "$folder"
cp "$model/config.json" "$root/deploy/demo-model/model/tokenizer.json" "$folder"

port=8797
"$build/bin/caudal-coordinator" --model "$folder" --port $port --control tcp://127.0.0.1:8798 --zmq "" --replicas 1 \
  --log-level error --worker-arg=--device=cuda --worker-arg=--load-format=dummy --worker-arg=--dtype=bf16 \
  --worker-arg=--memory-fraction=0.4 --worker-arg=--log-level=error &
server=$!
trap 'kill -TERM $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
until curl -fs "http://127.0.0.1:$port/health" >/dev/null; do
  kill -0 $server || { echo "the coordinator ended" >&2; exit 1; }
  sleep 0.2
done
"$build/bin/caudal-bench" --port $port --num-prompts "$requests" --random-input-len $input --random-output-len $new_tokens \
  --num-warmups 2 --disable-tqdm >"$output/peers-caudal.txt"
kill -TERM $server
wait $server || true
trap - EXIT
ours=$(awk '/Output token throughput/ {print $NF}' "$output/peers-caudal.txt")
echo "caudal:       $ours output tokens/s ($requests requests of $input + $new_tokens tokens at once)"

if ! python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2>"$output/peers-import.log"; then
  echo "transformers: not measured, $(tail -n 1 "$output/peers-import.log")"
  exit 0
fi
theirs=$(python3 "$root/tests/bench/peer_transformers.py" "$folder" "$requests" $input $new_tokens 2>"$output/peers-hf.log")
echo "transformers: $theirs output tokens/s (generate(), one static batch, bf16)"
awk -v a="$ours" -v b="$theirs" 'BEGIN {printf "ratio:        %.2f\n", a / b}'
