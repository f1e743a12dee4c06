#!/usr/bin/env bash
# The longer proofs, on a release build that tests/run.sh has made: every bug put back into the simulation, all recorded
# answers, a minute of fuzzing each target (another build), walks under schemas, clang-tidy over the whole tree. Says what failed, and exits 1 then.
set -uo pipefail
cd "$(dirname "$0")/.."
build=build/release
python=build/venv/bin/python
[[ -x $build/bin/caudal-coordinator && -x $python ]] || { echo "run tests/run.sh --quick first" >&2; exit 2; }
failed=0

# run NAME COMMAND...: one line; the end of the log when it fails.
run() {
  local name=$1 begin=$SECONDS status=0
  shift
  "$@" >"build/nightly-$name.log" 2>&1 || status=$?
  case $status in
    0) printf '%-20s passed  %5d s\n' "$name" $((SECONDS - begin)) ;;
    77) printf '%-20s skipped: %s\n' "$name" "$(tail -n 1 "build/nightly-$name.log")" ;;
    *) printf '%-20s FAILED  %5d s\n' "$name" $((SECONDS - begin)); tail -n 30 "build/nightly-$name.log"; failed=1 ;;
  esac
}

run mutants python3 -B tests/sim/mutants/mutants.py --build $build
for record in tests/reference/answers/*.json; do
  run "answers-$(basename "$record" .json)" "$python" -B tests/e2e/answers.py compare "$record"
done
# fuzz TARGET LONGEST: what a run finds new stays in build/fuzz-TARGET, and the next one goes on from there.
fuzz() {
  command -v clang++-16 >/dev/null || { echo "no clang 16"; return 77; }
  cmake --preset fuzz && cmake --build --preset fuzz -j "$(nproc)" || return
  mkdir -p "build/fuzz-$1"
  "build/fuzz/bin/$1_fuzz" -max_total_time=60 -max_len="$2" -timeout=10 -rss_limit_mb=4096 \
    -artifact_prefix="build/fuzz-$1-found-" "build/fuzz-$1"
}
run fuzz-gguf fuzz gguf 65536
run fuzz-grammar fuzz grammar 4096
run fuzz-tool-calls fuzz tool_calls 4096
run grammar-walks "$python" -B tests/common/grammar/check/walks.py --walk $build/bin/grammar_walk \
  --tokenizer tests/reference/tokenizers/llama3/tokenizer.json --walks 10000
run tidy tests/rules/tidy.sh --all
exit $failed
