#!/usr/bin/env bash
# Makes a relocatable folder (or .tar.gz) of the built programs, the shared libraries they need and mpirun, for machines
# on which nothing is installed. CUDA's own libraries stay out: the machine has its own, deploy/cuda-libs.sh finds them.
#   deploy/bundle.sh [--build DIR] [--with-tests] OUTPUT
# OUTPUT/bin has caudal-coordinator, caudal-worker and mpirun; they work from wherever the folder is moved to. With tests
# of a build for GPUs, OUTPUT/tests/gpu.sh runs them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build="$root/build/release"
output=
tests=false
while [[ $# -gt 0 ]]; do
  case "$1" in
    --build) build=$2; shift 2 ;;
    --with-tests) tests=true; shift ;;
    -h | --help) sed -n '2,6s/^# *//p' "$0"; exit 0 ;;
    -*) echo "unknown option $1" >&2; exit 2 ;;
    *) output=$1; shift ;;
  esac
done
[[ -n $output ]] || { echo "say where to: deploy/bundle.sh OUTPUT" >&2; exit 2; }
for program in caudal-coordinator caudal-worker; do
  [[ -x $build/bin/$program ]] || { echo "$build/bin/$program is not built" >&2; exit 1; }
done

folder=$output
if [[ $output == *.tar.gz ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  folder=$work/$(basename "$output" .tar.gz)
fi
[[ ! -e $folder ]] || { echo "$folder exists" >&2; exit 1; }
mkdir -p "$folder"/{bin,libexec,lib,deploy,share/caudal,share/doc/caudal,etc/openmpi}

# --- Programs, and Open MPI with its plugins ---
orterun=$(readlink -f "$(command -v mpirun)")
plugins=$(dirname "$(find /usr/lib /usr/local/lib /opt -name mca_schizo_ompi.so 2>/dev/null | head -n 1)")
pmix=$(find /usr/lib -type d -path '*pmix2/lib/pmix' 2>/dev/null | head -n 1)
cp "$build"/bin/caudal-{coordinator,worker} "$folder/libexec/"
cp "$orterun" "$folder/libexec/mpirun"
cp "$(readlink -f "$(command -v orted)")" "$folder/libexec/orted"
cp -rL "$plugins" "$folder/lib/openmpi"
[[ -z $pmix ]] || cp -rL "$pmix" "$folder/lib/pmix"
cp -rL /usr/share/openmpi "$folder/share/openmpi"
: >"$folder/etc/openmpi/openmpi-mca-params.conf"
commands=(caudal-coordinator caudal-worker mpirun orted)
if $tests; then
  mkdir -p "$folder/tests/reference"
  find "$build/tests" -maxdepth 1 -type f -executable -exec cp {} "$folder/tests/" \;
  cp "$root/tests/gpu.sh" "$folder/tests/"
  cp -r "$root/tests/reference/models" "$folder/tests/reference/models"
  mkdir -p "$folder/tests/bench"
  cp -r "$root/tests/bench/models" "$folder/tests/bench/models"
  for program in caudal-bench cuda_bench_attention cuda_bench_gap; do
    [[ -x $build/bin/$program ]] || continue
    cp "$build/bin/$program" "$folder/libexec/"
    commands+=("$program")
  done
fi

# --- What they load: everything but the C library (the machine's own must match its loader) and NVIDIA's ---
nvidia='^lib(cuda|cudart|cublas|cublasLt|nccl|nvidia|nvrtc|nvJitLink)'
skip="^(libc|libm|libdl|libpthread|librt|libresolv|libutil|ld-linux-x86-64)\\.so|$nvidia"
loads() { find "$folder" -type f \( -executable -o -name '*.so*' \) -exec ldd {} + 2>/dev/null || true; }
loads | awk '/=> \// {print $3}' | sort -u | while IFS= read -r library; do
  [[ $(basename "$library") =~ $skip ]] || cp -nL "$library" "$folder/lib/"
done
missing=$(loads | awk '/not found/ {print $1}' | sort -u | grep -vE "$nvidia" || true)
[[ -z $missing ]] || { echo "not found on this machine:" $missing >&2; exit 1; }

cp "$root"/deploy/cuda-libs.sh "$folder/deploy/"
cp -r "$root/deploy/demo-model/model" "$folder/share/caudal/demo-model"
cp -r "$root/deploy/config" "$folder/etc/caudal"
cp "$root"/{README.md,LICENSE,CHANGELOG.md} "$folder/share/doc/caudal/"

# --- Wrappers: they find out where they are and tell the loader and Open MPI ---
cat >"$folder/bin/caudal-env" <<'WRAPPER'
#!/bin/bash
# Runs a program of this folder with what it needs: caudal-env PROGRAM [ARGUMENT...]
home=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
export PATH="$home/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export OPAL_PREFIX="$home" OPAL_LIBDIR="$home/lib" OPAL_PKGLIBDIR="$home/lib/openmpi" OPAL_SYSCONFDIR="$home/etc/openmpi"
export OPAL_DATADIR="$home/share" OPAL_PKGDATADIR="$home/share/openmpi" OPAL_BINDIR="$home/bin"
export PMIX_INSTALL_PREFIX="$home" PMIX_PKGLIBDIR="$home/lib/pmix" PMIX_LIBDIR="$home/lib"
# Some machines have no room in /dev/shm or no permission to read a neighbour's memory: Open MPI then copies.
export OMPI_MCA_btl_vader_single_copy_mechanism="${OMPI_MCA_btl_vader_single_copy_mechanism:-none}"
[[ $(id -u) -eq 0 ]] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cuda=
if ldd "$home/libexec/caudal-worker" 2>/dev/null | grep -q libcublasLt; then
  cuda=$("$home/deploy/cuda-libs.sh") || exit 1
fi
export LD_LIBRARY_PATH="$home/lib${cuda:+:$cuda}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$@"
WRAPPER
for program in "${commands[@]}"; do
  printf '#!/bin/bash\nhere=$(cd "$(dirname "$(readlink -f "$0")")" \&\& pwd)\nexec "$here/caudal-env" "$here/../libexec/%s" "$@"\n' \
    "$program" | sed 's/\\&/\&/g' >"$folder/bin/$program"
done
chmod +x "$folder"/bin/* "$folder"/deploy/*.sh

if [[ $output == *.tar.gz ]]; then
  tar -C "$(dirname "$folder")" -czf "$output" "$(basename "$folder")"
fi
echo "$output: $(du -sh "$folder" | cut -f1)"
