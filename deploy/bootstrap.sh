#!/usr/bin/env bash
# Installs the Debian packages that are missing, asking for nothing. With --tests also what the tests need.
# Not root and no password-less sudo: prints the one command to run and ends with 1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

wanted=$(sed 's/#.*//' "$here/packages.txt")
if [[ "${1:-}" == --tests ]]; then
  wanted+=" $(sed 's/#.*//' "$here/packages-tests.txt")"
fi
missing=()
for package in $wanted; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [[ "$status" == "install ok installed" ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ $(id -u) -eq 0 ]]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  echo "Caudal needs Debian packages that are not installed. As root, run:" >&2
  echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}" >"$log" 2>&1
}
"${as_root[@]}" apt-get update -q >"$log" 2>&1 || true
install || { sleep 5; "${as_root[@]}" apt-get update -q >>"$log" 2>&1; install; } || {
  echo "Installing failed:" >&2
  tail -n 20 "$log" >&2
  exit 1
}
