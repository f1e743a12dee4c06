#!/usr/bin/env bash
# Runs clang-tidy with .clang-tidy over sources of the product. Any finding is an error.
#   tidy.sh               those that differ from the branch main, or from the commit before on main itself
#   tidy.sh --all         all of them (tests/nightly.sh)
#   tidy.sh FILE...
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-tidy-16 >/dev/null || { echo "skipped: clang-tidy-16 is not installed"; exit 77; }
product=(coordinator/ worker/ common/ kernels/)
case "${1:-}" in
  "")
    base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null || git rev-parse HEAD)
    [[ $base != "$(git rev-parse HEAD)" ]] || base=$(git rev-parse -q --verify HEAD^ || git rev-parse HEAD)
    mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- "${product[@]}" | grep '\.cpp$' || true) ;;
  --all) mapfile -t files < <(git ls-files "${product[@]}" | grep '\.cpp$') ;;
  *) files=("$@") ;;
esac
# A compilation database of clang's own: no options that only g++ knows, and every file by itself.
build=build/tidy
if [[ ! -f $build/compile_commands.json ||
  -n $(git ls-files -z "*CMakeLists.txt" | xargs -0 -I@ find @ -newer $build/compile_commands.json) ]]; then
  cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=clang++-16 -DCAUDAL_BUILD_TESTS=OFF -DCMAKE_UNITY_BUILD=OFF >$build.log 2>&1 || { tail -n 20 $build.log; exit 1; }
fi
ninja -C $build caudal_control_proto caudal_gateway_proto >>$build.log 2>&1
# What the database does not have is built elsewhere only (for GPUs).
known=()
for file in "${files[@]}"; do
  if grep -q "\"file\": \".*/$file\"" $build/compile_commands.json; then known+=("$file"); fi
done
((${#known[@]})) || { echo "no source changed"; exit 0; }
printf '%s\0' "${known[@]}" | xargs -0 -P "$(nproc)" -n 1 clang-tidy-16 -p $build --quiet --warnings-as-errors='*' 2>/dev/null
echo "clang-tidy: ${#known[@]} files clean"
