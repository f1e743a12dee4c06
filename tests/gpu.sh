#!/usr/bin/env bash
# Everything that needs a GPU, in one call of under 9 minutes: builds, tests on the device, benchmarks. Needs a GPU, CUDA
# 13 and the packages of deploy/packages.txt; neither network nor root. Full logs go to --output, a short table last.
#   tests/gpu.sh [--output DIR] [--build DIR] [--no-build]
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
output="$root/build/gpu-output"
build="$root/build/cuda"
compile=true
while [[ $# -gt 0 ]]; do
  case "$1" in
    --output) output=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --no-build) compile=false; shift ;;
    -h | --help) sed -n '2,4s/^# *//p' "$0"; exit 0 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done
mkdir -p "$output"
deadline=$((SECONDS + 530))
table="$output/table.txt"
: >"$table"
failed=0

command -v nvidia-smi >/dev/null && nvidia-smi -L >"$output/gpu.log" 2>&1 || { echo "no NVIDIA GPU here: nothing was run" >&2; exit 1; }
libraries=$("$root/deploy/cuda-libs.sh") || exit 1
export LD_LIBRARY_PATH="${libraries:+$libraries:}${LD_LIBRARY_PATH:-}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# run NAME SECONDS COMMAND...: one line of the table; what takes too long or comes too late is cut off.
run() {
  local name=$1 limit=$2 begin=$SECONDS left=$((deadline - SECONDS)) status=0 result
  shift 2
  if ((left < 5)); then
    printf '%-34s %-9s\n' "$name" "no time" | tee -a "$table"
    failed=1
    return
  fi
  timeout -k 5 "$((limit < left ? limit : left))" "$@" >"$output/$name.log" 2>&1 || status=$?
  case $status in
    0) result=passed ;;
    124 | 137) result="too slow"; failed=1 ;;
    *) result=FAILED; failed=1 ;;
  esac
  printf '%-34s %-9s %4d s\n' "$name" "$result" $((SECONDS - begin)) | tee -a "$table"
  [[ $result == FAILED ]] && grep -nE 'error|FAILED|Failure|ERROR' "$output/$name.log" | head -n 5
}

if $compile; then
  run configure 60 cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCAUDAL_CUDA=ON \
    -DCAUDAL_BUILD_TESTS=ON
  run build 400 cmake --build "$build" -j "$(nproc)" --target gpu_tests caudal-worker caudal-coordinator caudal-bench cuda_bench_gap
fi
((failed == 0)) || exit 1

# In this order: what everything rests on first.
tests="$build/tests"
while IFS= read -r test; do
  run "$(basename "$test")" 90 "$test" --gtest_brief=1
done < <(ls "$tests"/*_gpu 2>/dev/null | awk '{print (/ptx|wrapper|simt/ ? 0 : 1), $0}' | sort | cut -d" " -f2)
run ops_on_device 90 "$tests/kernels_device_test" --gtest_brief=1
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    run "sanitizer_$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "$tests/kernels_device_test" \
      --gtest_filter='*NormTest*:*SiluTest*:*CopyTest*' --gtest_brief=1
  done
else
  printf '%-34s %-9s\n' compute-sanitizer "not here" | tee -a "$table"
fi
run worker_on_device 120 "$tests/worker_device_test" --gtest_brief=1

# A cluster of two ranks that share the GPU answers over HTTP.
cluster() {
  local port=8795 pid
  "$build/bin/caudal-coordinator" --model "$root/deploy/demo-model/model" --port $port --control tcp://127.0.0.1:8796 \
    --zmq "" --replicas 1 --tensor-parallel 2 --worker-arg=--device=cuda --worker-arg=--gpu=0 --worker-arg=--num-blocks=2000 &
  pid=$!
  trap 'kill -TERM $pid 2>/dev/null; wait $pid' RETURN
  for ((i = 0; i < 300; ++i)); do
    kill -0 $pid || return 1
    curl -fsS "http://127.0.0.1:$port/health" >/dev/null 2>&1 && break
    sleep 0.2
  done
  curl -fsS "http://127.0.0.1:$port/v1/chat/completions" -H 'Content-Type: application/json' \
    -d '{"messages":[{"role":"user","content":"What is 17 plus 25?"}],"temperature":0,"max_tokens":16}' | tee "$output/answer.json" |
    grep -q 42 || return 1
  "$build/bin/caudal-bench" --port $port --num-prompts 64 --random-input-len 128 --random-output-len 64 --disable-tqdm
}
export -f cluster
export build root output
run two_ranks_one_gpu 90 bash -c cluster
# One sequence and many: a step of 3 % host gap at the most is asked for.
host_gap() {
  local batch
  for batch in 1 32 128; do
    "$build/bin/cuda_bench_gap" --batch "$batch" --model "$root/tests/bench/models/qwen2.5-0.5b" || return 1
  done
}
export -f host_gap
run host_gap 60 bash -c host_gap
grep -hE 'host gap|on the device' "$output/host_gap.log" 2>/dev/null | tee -a "$table"
run benchmarks_peers 120 "$root/tests/bench/peers.sh" --build "$build" --output "$output"

echo
cat "$output/gpu.log" "$table"
exit $failed
