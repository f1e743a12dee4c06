#!/usr/bin/env bash
# Runs the benchmarks behind tests/bench/README.md, on a machine that does nothing else, and prints their tables.
#   tests/bench/run.sh [BUILD_DIR] [SUITE...]     suites: decode prefill static-fair static-literal paging
#                                                 prefix-cache first-token pool placement itl scheduler waits
#                                                 coordinator gateway cluster (all of them unless named)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${1:-$root/build/release}/bin" && pwd)
shift || true
tiny=$root/tests/bench/models/qwen2-tiny  # what takes minutes with the 0.5B shape takes seconds with it
suites=("$@")
[[ ${#suites[@]} -gt 0 ]] || suites=(decode prefill static-fair static-literal paging prefix-cache first-token pool
  placement itl scheduler waits coordinator gateway cluster)

# The same requests through a cluster of one replica and through its runner in process.
cluster() {
  local model port=8790 prompts=96 input=128 output=64
  model=$(mktemp -d)
  trap 'rm -rf "$model"; kill "$server" 2>/dev/null || true; wait 2>/dev/null || true' RETURN
  cp "$root"/tests/bench/models/qwen2.5-0.5b/config.json "$root"/deploy/demo-model/model/tokenizer.json "$model"
  "$bin/caudal-coordinator" --model "$model" --port $port --control tcp://127.0.0.1:8791 --zmq "" --replicas 1 \
    --log-level error --worker-arg=--load-format=dummy --worker-arg=--dtype=bf16 --worker-arg=--num-blocks=20000 \
    --worker-arg=--log-level=error &
  server=$!
  until curl -fs "http://127.0.0.1:$port/health" >/dev/null; do
    kill -0 "$server" || { echo "the coordinator ended" >&2; return 1; }
    sleep 0.5
  done
  "$bin/caudal-bench" --port $port --num-prompts $prompts --random-input-len $input --random-output-len $output \
    --num-warmups 2 --disable-tqdm | tee "$model/served.txt" | grep -E 'throughput|Mean TTFT|Median TTFT|Median TPOT'
  kill "$server"
  wait "$server" || true
  "$bin/engine_bench" throughput --num-prompts $prompts --input-len $input --output-len $output | tee "$model/alone.txt"
  awk '/Output token throughput/ {served = $NF} /tok\/s total/ {for (i = 1; i <= NF; ++i) if ($i == "output,") alone = $(i - 1)}
       END {printf "cluster / in process: %.3f\n", served / alone}' "$model/served.txt" "$model/alone.txt"
}

for suite in "${suites[@]}"; do
  echo "== $suite"
  case "$suite" in
    scheduler) "$bin/scheduler_bench" --benchmark_min_time=0.3 2>/dev/null | grep -vE '^(-|Run on|CPU|Load|  L|\*\*\*)' ;;
    waits) "$bin/wait_bench" ;;
    coordinator)
      "$bin/coordinator_bench" --workers 256
      "$bin/coordinator_bench" --workers 1000
      ;;
    cluster) cluster ;;
    placement) "$bin/placement_bench" ;;
    gateway) "$bin/gateway_bench" ;;
    prefix-cache) "$bin/engine_bench" prefix-cache --num-prompts 64 --repeats 1 ;;
    first-token) "$bin/engine_bench" first-token --model "$tiny" ;;
    pool) "$bin/engine_bench" pool --model "$tiny" --num-prompts 48 --repeats 3 ;;
    static-literal) "$bin/engine_bench" static-literal --num-prompts 1000 ;;
    static-fair) "$bin/engine_bench" static-fair --num-prompts 256 ;;
    paging) "$bin/engine_bench" paging --num-prompts 96 ;;
    *) "$bin/engine_bench" "$suite" ;;
  esac
done
