#!/usr/bin/env bash
# Checks what the compiler and linker were asked for in the binaries they made: position independence, full
# RELRO, no executable stack, stack protector, fortified calls, landing pads for indirect branches, no run path.
set -euo pipefail
# ENDBR64, which -fcf-protection=full puts where an indirect branch may land. Without the flag a program has two or three
# of them, from the system's objects. That readelf -n shows "x86 feature: IBT, SHSTK" cannot be asked for: the linker
# sets it only when all objects have it, and Debian 12's startup objects (Scrt1.o, crti.o, crtn.o) do not.
landing_pad='\xf3\x0f\x1e\xfa'
fewest_landing_pads=100
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
  if grep -q 'Machine:.*X86-64' <<<"$header"; then
    pads=$(LC_ALL=C grep -aoP "$landing_pad" "$binary" | wc -l || true)
    ((pads >= fewest_landing_pads)) || complain "$binary" "$pads landing pads for indirect branches"
  fi
  grep -qE 'RPATH|RUNPATH' <<<"$dynamic" && complain "$binary" "has a run path"
done
exit $status
