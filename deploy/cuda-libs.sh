#!/usr/bin/env bash
# Prints the folders, separated by colons, in which the loader finds cuBLASLt 13 and NCCL 2: nothing when it finds them
# by itself, else CUDA's folder or NVIDIA's Python packages. Ends with 1 and says what is missing.
set -euo pipefail

known=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true)
candidates=()
IFS=: read -ra from_environment <<<"${LD_LIBRARY_PATH:-}"
candidates+=("${from_environment[@]}")
for folder in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-13*; do
  [[ -n $folder ]] && candidates+=("$folder/lib64" "$folder/lib" "$folder/targets/x86_64-linux/lib")
done
for python in "${CAUDAL_PYTHON:-}" python3 /opt/*/bin/python3; do
  command -v "$python" >/dev/null 2>&1 || continue
  while IFS= read -r folder; do candidates+=("$folder"); done < <("$python" -c '
import glob, site, sys
for path in dict.fromkeys(site.getsitepackages() + [site.getusersitepackages()] + sys.path):
    for folder in sorted(glob.glob(path + "/nvidia/*/lib")):
        print(folder)' 2>/dev/null)
done

folders=()
for library in libcublasLt.so.13 libnccl.so.2; do
  grep -q "$library" <<<"$known" && continue
  for folder in "${candidates[@]}"; do
    [[ -e $folder/$library ]] || continue
    folders+=("$folder")
    continue 2
  done
  echo "$library was not found: not known to the loader, nor in CUDA's folder (CUDA_HOME), nor in NVIDIA's Python packages" >&2
  exit 1
done
[[ ${#folders[@]} -eq 0 ]] && exit 0
printf '%s\n' "${folders[@]}" | awk '!seen[$0]++' | paste -sd:
