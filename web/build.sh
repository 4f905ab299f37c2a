#!/bin/sh
# Builds the browser's engine from web/kernel into the module's folder, or into the folder given.
#
#   web/build.sh [FOLDER]
#
# keenframe.wasm runs in every browser with WebAssembly SIMD; keenframe-fma.wasm, with fused multiply-add of relaxed
# SIMD, in newer ones. CC=clang-19 chooses the compiler: clang 14 with lld builds the first, clang 17 or newer both.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
module=$here/../src/keenframe/web/static/keenframe
out=${1:-$module}
compiler=${CC:-clang}

build() {
  file=$1
  shift
  "$compiler" --target=wasm32 -O3 -std=c11 -Wall -Wextra -Werror -ffreestanding -nostdlib -msimd128 -mbulk-memory "$@" \
    -Wl,--no-entry -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=65536 -o "$out/$file.part" "$here"/kernel/*.c
  chmod 644 "$out/$file.part"
  mv "$out/$file.part" "$out/$file"
  echo "$out/$file: $(wc -c <"$out/$file") bytes"
}

if ! command -v "$compiler" >/dev/null; then
  echo "$compiler is not here; install clang and lld (Debian: apt-get install clang lld), or set CC" >&2
  exit 1
fi
mkdir -p "$out"
build keenframe.wasm
version=$("$compiler" -dumpversion)
if [ "${version%%.*}" -ge 17 ]; then
  build keenframe-fma.wasm -mrelaxed-simd
else
  echo "keenframe-fma.wasm needs clang 17 or newer; $compiler is $version: left as it was" >&2
fi
# What a test compares with, so that nobody changes the source and forgets to build.
if [ "$out" = "$module" ]; then
  (cd "$here/kernel" && sha256sum ./*.c ./*.h) >"$here/kernel/BUILT"
  (cd "$module" && sha256sum ./*.wasm) >>"$here/kernel/BUILT"
fi
