#!/bin/sh
# Compares what the native engine computes on an emulated 64-bit Arm processor with what it computes on this one.
#
#   sudo dpkg --add-architecture arm64 && sudo apt-get update && sudo apt-get install qemu-user-static
#   native/emulate.sh          (PYTHON=.venv/bin/python chooses the Python that has keenframe)
#
# For Debian 12 or newer and Ubuntu 24.04 or newer. What is fetched stays in build/aarch64; nothing is installed.
set -eu
cd "$(dirname -- "$0")/.."
root=build/aarch64
python=${PYTHON:-.venv/bin/python}

for tool in qemu-aarch64-static apt-get dpkg "$python"; do
  command -v "$tool" >/dev/null || { echo "$tool is not here; see the head of $0" >&2; exit 1; }
done
version=$(apt-cache depends python3:arm64 2>/dev/null | sed -n 's/.*Depends: python\(3\.[0-9]*\).*/\1/p' | head -n 1)
[ -n "$version" ] || { echo "apt knows no packages for arm64; see the head of $0" >&2; exit 1; }

if [ ! -f "$root/done" ]; then
  rm -rf "$root"
  mkdir -p "$root/debs" "$root/site"
  packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    "python$version:arm64" libstdc++6:arm64 | sed -n 's/^\([a-z0-9].*\):arm64$/\1:arm64/p' | sort -u)
  # shellcheck disable=SC2086  # names without spaces
  (cd "$root/debs" && apt-get download $packages)
  for package in "$root"/debs/*.deb; do dpkg -x "$package" "$root/system"; done
  "$python" -m pip download --quiet --only-binary=:all: --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_28_aarch64 --python-version "$version" -c constraints.txt -d "$root/wheels" numpy
  for wheel in "$root"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$root/site"; done
  # What the emulated processor has; the host's own list would be read otherwise.
  mkdir -p "$root/system/proc"
  printf 'processor\t: 0\nFeatures\t: fp asimd asimddp\n' >"$root/system/proc/cpuinfo"
  touch "$root/done"
fi

"$python" native/parity.py write "$root/wanted.npz"
PYTHONPATH=$root/site:src OPENBLAS_NUM_THREADS=1 \
  qemu-aarch64-static -L "$root/system" "$root/system/usr/bin/python$version" native/parity.py compare "$root/wanted.npz"
