#!/usr/bin/env bash
# Checks what the compiler and linker were asked for in the binaries they made: position independence, full
# RELRO, no executable stack, stack protector, fortified calls, no run path.
set -euo pipefail
status=0
complain() { echo "ERROR: $1: $2"; status=1; }
for binary in "$@"; do
  header=$(readelf -W -h "$binary")
  segments=$(readelf -W -l "$binary")
  dynamic=$(readelf -W -d "$binary")
  symbols=$(readelf -W --dyn-syms "$binary")
  grep -q 'Type: *DYN' <<<"$header" || complain "$binary" "not position independent"
  grep -q GNU_RELRO <<<"$segments" || complain "$binary" "no RELRO"
  grep -qE 'BIND_NOW|Flags:.* NOW' <<<"$dynamic" || complain "$binary" "lazy binding"
  grep -E 'GNU_STACK' <<<"$segments" | grep -q 'RWE' && complain "$binary" "executable stack"
  grep -q __stack_chk_fail <<<"$symbols" || complain "$binary" "no stack protector"
  grep -qE '__[a-z]+_chk@' <<<"$symbols" || complain "$binary" "no fortified calls"
  grep -qE 'RPATH|RUNPATH' <<<"$dynamic" && complain "$binary" "has a run path"
done
exit $status
