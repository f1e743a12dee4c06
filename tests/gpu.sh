#!/usr/bin/env bash
# Everything that needs a GPU, in one call of under 9 minutes: builds, tests on the device, benchmarks. Needs a GPU, CUDA
# 13 and the packages of deploy/packages.txt; neither network nor root. Full logs go to --output, a short table last.
#   tests/gpu.sh [--output DIR] [--build DIR] [--no-build]
# In a folder made by deploy/bundle.sh --with-tests it runs what lies there, and needs CUDA alone.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
output="$root/build/gpu-output"
build="$root/build/cuda"
model="$root/deploy/demo-model/model"
gap_model="$root/tests/bench/models/qwen2.5-0.5b"
compile=true
with=()  # what programs are run by
if [[ -x $root/bin/caudal-env ]]; then
  output="$root/gpu-output" build=$root model="$root/share/caudal/demo-model" compile=false
  with=("$root/bin/caudal-env")
  export CAUDAL_TEST_DATA="$root/tests"
fi
while [[ $# -gt 0 ]]; do
  case "$1" in
    --output) output=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --no-build) compile=false; shift ;;
    -h | --help) sed -n '2,5s/^# *//p' "$0"; exit 0 ;;
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
  # timeout runs programs: a function goes to a shell of its own.
  [[ $(type -t "$1") != function ]] || set -- bash -c "$(declare -p with build model gap_model output tests); $(declare -f); \"\$@\"" bash "$@"
  timeout -k 5 "$((limit < left ? limit : left))" "$@" >"$output/$name.log" 2>&1 || status=$?
  case $status in
    0) result=passed ;;
    124 | 137) result="too slow"; failed=1 ;;
    *) result=FAILED; failed=1 ;;
  esac
  printf '%-34s %-9s %4d s\n' "$name" "$result" $((SECONDS - begin)) | tee -a "$table"
  [[ $result == FAILED ]] && grep -nE 'error|FAILED|Failure|ERROR|wrong' "$output/$name.log" | head -n 5
  return 0
}
finish() {
  echo
  cat "$output/gpu.log" "$table"
  exit $failed
}

# Only for the GPU at hand, which is four times as fast; folders of Python packages hold headers beside the libraries.
architecture() {
  case "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d '. ')" in
    80 | 86 | 87) echo 80-real ;;
    89) echo 89-real ;;
    90) echo 90a-real ;;
    *) echo 90-virtual ;;
  esac
}
if $compile; then
  prefixes=$(tr : '\n' <<<"$libraries" | sed 's|/lib[^/]*$||' | paste -sd';')
  run configure 60 cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCAUDAL_CUDA=ON \
    -DCAUDAL_BUILD_TESTS=ON -DCAUDAL_CUDA_ARCHITECTURES="$(architecture)" -DCMAKE_PREFIX_PATH="$prefixes"
  run build 330 cmake --build "$build" -j "$(nproc)" --target gpu_tests caudal-worker caudal-coordinator caudal-bench \
    cuda_bench_attention cuda_bench_gap
fi
((failed == 0)) || finish

# In this order: what everything rests on first.
tests="$build/tests"
while IFS= read -r test; do
  run "$(basename "$test")" 60 "${with[@]}" "$test" --gtest_brief=1
done < <(ls "$tests"/*_gpu 2>/dev/null | awk '{print (/wrappers/ ? 0 : /simt/ ? 1 : 2), $0}' | sort | cut -d" " -f2)
run ops_on_device 60 "${with[@]}" "$tests/kernels_device_test" --gtest_brief=1
sanitizer=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}"/bin/compute-sanitizer 2>/dev/null || true)
if [[ -n $sanitizer ]]; then
  for tool in memcheck racecheck; do
    run "sanitizer_$tool" 45 "${with[@]}" "$sanitizer" --tool "$tool" --error-exitcode 9 "$tests/kernels_device_test" \
      --gtest_filter='*NormTest*:*SiluTest*:*CopyTest*' --gtest_brief=1
  done
else
  printf '%-34s %-9s\n' compute-sanitizer "not here" | tee -a "$table"
fi
run worker_on_device 90 "${with[@]}" "$tests/worker_device_test" --gtest_brief=1
run runner_on_device 60 "${with[@]}" "$tests/worker_runner_device_test" --gtest_brief=1
run deterministic_on_device 60 "${with[@]}" "$tests/worker_deterministic_test" --gtest_brief=1

# Ranks that are processes: through the host and over peer memory, on one GPU; as a worker chooses where there are more.
ranks() { "${with[@]}" mpirun --oversubscribe --bind-to none -np "$1" "$tests/peer_check" "${@:2}"; }
lost() { ranks 2 --lost 2>&1 | grep "as expected"; }
gpus=$(nvidia-smi -L | wc -l)
run two_ranks_staged 60 ranks 2
run two_ranks_peer_memory 60 ranks 2 --force
run a_lost_rank 45 lost
((gpus < 2)) || run "${gpus}_gpus" 60 ranks "$gpus" --times

# A cluster of two ranks that share the GPU answers over HTTP.
cluster() {
  local port=8795 pid
  "$build/bin/caudal-coordinator" --model "$model" --port $port --control tcp://127.0.0.1:8796 \
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
# One sequence and many: a step of 3 % host gap at the most is asked for.
host_gap() {
  local batch
  for batch in 1 32 128; do
    "${with[@]}" "$build/bin/cuda_bench_gap" --batch "$batch" --model "$gap_model" || return 1
  done
}
run two_ranks_one_gpu 60 cluster
run attention_speed 60 "${with[@]}" "$build/bin/cuda_bench_attention"
run host_gap 60 host_gap
grep -hE 'host gap|on the device' "$output/host_gap.log" 2>/dev/null | tee -a "$table"
[[ ! -x $root/tests/bench/peers.sh ]] || run benchmarks_peers 120 "$root/tests/bench/peers.sh" --build "$build" --output "$output"
finish
