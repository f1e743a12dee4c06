#!/usr/bin/env bash
# Fails when a source is not laid out as .clang-format says. --fix lays it out.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-format-16 >/dev/null || { echo "skipped: clang-format-16 is not installed"; exit 77; }
how=(--dry-run --Werror)
[[ "${1:-}" != --fix ]] || how=(-i)
git ls-files -z '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 -P "$(nproc)" -n 40 clang-format-16 "${how[@]}" 2>&1 | head -n 40
exit "${PIPESTATUS[1]}"
