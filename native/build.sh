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

# build NAME FLAG...: one library, for a processor with what the flags name.
build() {
  file=$1.so
  shift
  "$compiler" "$@" -O3 -std=c11 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fPIC \
    -fvisibility=hidden -nostdlib -shared -fuse-ld=lld -Wl,--strip-all -Wl,-z,defs -Wl,--build-id=none \
    -o "$out/$file.part" "$here/kernel.c"
  chmod 644 "$out/$file.part"
  mv "$out/$file.part" "$out/$file"
  echo "$out/$file: $(wc -c <"$out/$file") bytes"
}

build x86_64-avx512vnni --target=x86_64-linux-gnu -march=x86-64-v4 -mavx512vnni
build x86_64-avxvnni --target=x86_64-linux-gnu -march=x86-64-v3 -mavxvnni
build x86_64-avx2 --target=x86_64-linux-gnu -march=x86-64-v3
build aarch64-dotprod --target=aarch64-linux-gnu -march=armv8.2-a+dotprod

# What a test compares with, so that nobody changes the source and forgets to build.
if [ "$out" = "$package" ]; then
  (cd "$here" && sha256sum ./*.c ./*.h) >"$here/BUILT"
  (cd "$package" && sha256sum ./*.so) >>"$here/BUILT"
fi
