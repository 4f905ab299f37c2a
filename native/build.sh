#!/bin/sh
# Builds the native engine's libraries from native/kernel.c into the package, or into the folder given.
#
#   native/build.sh [FOLDER]
#
# CC=clang-19 chooses the compiler: clang 17 or newer, with lld. The libraries call no other one, so nothing of the systems
# they are for is needed.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
package=$here/../src/keenframe/engines/kernels
out=${1:-$package}
compiler=${CC:-clang}

if ! command -v "$compiler" >/dev/null; then
  echo "$compiler is not here; install clang and lld (Debian: apt-get install clang-19 lld-19), or set CC" >&2
  exit 1
fi
mkdir -p "$out"

# build FILE FLAG...: one library, for the system and the processor that the flags name.
build() {
  file=$1
  shift
  "$compiler" "$@" -O3 -std=c11 -Wall -Wextra -Werror -ffreestanding -fno-builtin -nostdlib -shared -fuse-ld=lld \
    -o "$out/$file.part" "$here/kernel.c"
  chmod 644 "$out/$file.part"
  mv "$out/$file.part" "$out/$file"
  echo "$out/$file: $(wc -c <"$out/$file") bytes"
}

linux="-fPIC -fvisibility=hidden -Wl,--strip-all -Wl,-z,defs -Wl,--build-id=none"
windows="--target=x86_64-pc-windows-msvc -mno-stack-arg-probe -Wl,/noentry -Wl,/noimplib -Wl,/timestamp:0"
# No more than `keenframe.engines.native` asks for. Tuned for what has it: otherwise every load of 32 bytes is made of two.
for instructions in "avx512vnni -mavx512f -mavx512bw -mavx512vl -mavx512vnni" \
  "avxvnni -mavx2 -mfma -mavxvnni -mtune=alderlake" "avx2 -mavx2 -mfma -mtune=haswell"; do
  name=x86_64-${instructions%% *}
  # shellcheck disable=SC2086  # flags, without spaces in them
  {
    build "$name.so" ${instructions#* } --target=x86_64-linux-gnu $linux
    build "$name.dll" ${instructions#* } $windows
  }
done
# shellcheck disable=SC2086
build aarch64-dotprod.so -march=armv8.2-a+dotprod --target=aarch64-linux-gnu $linux

# What a test compares with, so that nobody changes the source and forgets to build.
if [ "$out" = "$package" ]; then
  (cd "$here" && sha256sum ./*.c ./*.h) >"$here/BUILT"
  (cd "$package" && sha256sum ./*.so ./*.dll) >>"$here/BUILT"
fi
