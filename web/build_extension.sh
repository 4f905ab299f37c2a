#!/bin/sh
# Puts the extension together: its own files, the module and the models.
#
#   web/build_extension.sh [FOLDER]      FOLDER is made anew; by default dist/extension
#
# Then: chrome://extensions, "Developer mode", "Load unpacked", FOLDER.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
module=$here/../src/keenframe/web/static/keenframe
out=${1:-$here/../dist/extension}

if [ -e "$out" ] && [ ! -f "$out/manifest.json" ] && [ -n "$(ls -A "$out")" ]; then
  echo "$out is there and is no extension; name another folder, or empty it" >&2
  exit 1
fi
rm -rf "$out"
mkdir -p "$out/keenframe/models"
cp -R "$here/extension/." "$out"
cp "$here/../LICENSE" "$out"
for file in "$module"/*.js "$module"/*.wasm; do
  # The second engine would load code from elsewhere.
  [ "$(basename "$file")" = ort.js ] || cp "$file" "$out/keenframe"
done
out=$(CDPATH= cd -- "$out" && pwd)
cp "$module/models/keen.kfm" "$module/models/keen-nano.kfm" "$out/keenframe/models"
echo "$out: $(du -sk "$out" | cut -f1) kB"
