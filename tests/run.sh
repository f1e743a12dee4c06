#!/usr/bin/env bash
# Installs what the tests need, builds, and runs everything that this machine can run: all tests on the release
# build (g++), then unit tests and a cluster of two ranks under the sanitizers (address: clang). Says what failed
# first, and what was skipped and why. --quick: only the release build and its tests.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

quick=false
case "${1:-}" in
  "") ;;
  --quick) quick=true ;;
  *) echo "usage: tests/run.sh [--quick]" >&2; exit 2 ;;
esac

jobs=$(nproc)
build="$root/build"
mkdir -p "$build"
started=$SECONDS
say() { printf '[%3d s] %s\n' $((SECONDS - started)) "$*"; }

# run LOG COMMAND...: quiet unless it fails; then the first errors and the end of the log.
run() {
  local log="$build/$1.log"
  shift
  if ! "$@" >"$log" 2>&1; then
    say "FAILED: $*"
    grep -nE 'error:|FAILED|\*\*\*Failed|ERROR:|Error ' "$log" | head -n 20 || true
    echo "--- end of $log"
    tail -n 40 "$log"
    exit 1
  fi
}

say "installing what is missing"
deploy/bootstrap.sh --tests

python="$build/venv/bin/python"
if [[ ! -x "$python" ]] || ! "$python" -c 'import openai, zmq, google.protobuf' 2>/dev/null; then
  if ! { python3 -m venv "$build/venv" && "$build/venv/bin/pip" install -q -r tests/e2e/requirements.txt; } \
    >"$build/venv.log" 2>&1; then
    say "skipping the end-to-end tests: no Python packages ($(tail -n 1 "$build/venv.log"))"
    python=
  fi
fi

configure() { run "configure-$1" cmake --preset "$1" -DCAUDAL_TEST_PYTHON="$python" -DCAUDAL_BUILD_TESTS=ON "${@:2}"; }
compile() { run "build-$1" cmake --build "build/$1" -j "$jobs" "${@:2}"; }

say "building (release)"
configure release
compile release
# Clusters wait for deadlines while nothing else may run beside them: meanwhile the next build begins, behind all else.
ahead=
begin_build() {
  nice -n 19 ninja -C "build/$1" -j "$jobs" >/dev/null 2>&1 &
  ahead=$!
  trap 'kill "$ahead" 2>/dev/null || true' EXIT
}
end_build() {
  [[ -n $ahead ]] || return 0
  kill "$ahead" 2>/dev/null || true
  wait "$ahead" || true  # what is wrong with it, the build itself will say
  ahead=
  trap - EXIT
}

# clang-tidy over what differs from main, or from the commit before on main itself.
tidy_changed() { tests/rules/tidy.sh || [[ $? -eq 77 ]]; }

if ! $quick; then
  configure asan
  begin_build asan
fi
say "testing (release)"
run test-release ctest --test-dir build/release --output-on-failure -j "$jobs"
end_build
grep -E 'tests passed|Skipped|Not Run' "$build/test-release.log" | sort -u || true
run tidy tidy_changed
run hardening tests/rules/hardening.sh build/release/bin/caudal-coordinator build/release/bin/caudal-worker

# The same code with other eyes: sanitizers, and with asan the other compiler. sanitize PRESET LABEL TARGET...
sanitize() {
  say "building ($1)"
  configure "$1"
  compile "$1" --target "${@:3}"
  say "testing ($1)"
  run "test-$1" ctest --test-dir "build/$1" --output-on-failure -j "$jobs" -L "$2|sanitize"
  grep -E 'tests passed' "$build/test-$1.log"
}
# The preset for GPUs builds, links, and refuses to start where there is no GPU. Most of it comes from the compiler cache:
# the release build has compiled the same kernels.
build_cuda() {
  local library
  for library in CUDAToolkit_NVCC_EXECUTABLE CUDA_cublasLt_LIBRARY; do
    grep -qE "^$library:[A-Z]+=/" build/release/CMakeCache.txt && continue
    say "skipped: the build for GPUs (no ${library#*_} here)"
    return
  done
  say "building (cuda)"
  configure cuda -DCAUDAL_BUILD_TESTS=OFF
  compile cuda --target caudal-worker
  run version-cuda build/cuda/bin/caudal-worker --version
  command -v nvidia-smi >/dev/null || run refusal-cuda refuses_without_gpu
}
refuses_without_gpu() {
  local status=0 said
  said=$(build/cuda/bin/caudal-worker --coordinator tcp://127.0.0.1:9 --model tests/reference/models/qwen2 --dtype bf16 \
    --device cuda 2>&1) || status=$?
  echo "$said"
  [[ $status -eq 1 && $said == *"no NVIDIA GPU can be used"* ]]
}

if $quick; then
  say "skipped: sanitizers, clang and the build for GPUs (--quick)"
else
  sanitize asan unit all  # all: clang must build everything, too
  sanitize tsan threaded threaded_tests caudal-coordinator caudal-worker
  build_cuda
fi

for isa in avx2 avx512f avx512_bf16 amx_bf16; do
  grep -qw "$isa" /proc/cpuinfo || say "skipped: kernels for $isa (not in this processor; its cases ran with less)"
done
command -v nvidia-smi >/dev/null || say "skipped: everything that needs a GPU (none here)"
say "all passed"
grep -E 'tests passed' "$build/test-release.log"
