# Sourced by scripts/demo and scripts/test: finds a Python, makes virtual environments. Plain POSIX sh.
# Afterwards: the working directory is the repository, and `environment DIR EXTRAS` makes DIR ready.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# Prints the first Python 3.11 or newer. PYTHON=/path/to/python overrides the search.
find_python() {
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
    if is_new_enough "$candidate"; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  say "keenframe needs Python 3.11 or newer, and found none."
  if command -v python3 >/dev/null 2>&1; then say "  python3 here is $(python3 --version 2>&1)."; fi
  say "  On Debian 12 or newer, or Ubuntu 24.04 or newer: sudo apt-get install python3 python3-venv"
  say "  On an older Ubuntu: sudo apt-get install python3.11 python3.11-venv"
  say "  A Python elsewhere: PYTHON=/path/to/python3.11 sh $0"
  return 1
}

# Debian and Ubuntu ship `venv` without the pip that it installs; say so before half an environment is made.
check_venv() {
  if "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then return 0; fi
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  say "$1 (Python $version) cannot make virtual environments: its 'ensurepip' is missing."
  say "  On Debian and Ubuntu: sudo apt-get install python$version-venv"
  return 1
}

# environment DIR EXTRAS: an editable install of this repository with the pinned versions. EXTRAS may be empty.
# A stamp makes the second call cost nothing until the project file, the pins, the folder or the Python change.
environment() {
  directory=$1
  extras=$2
  python=$directory/bin/python
  if [ -d "$directory" ] && ! { is_new_enough "$python" && "$python" -m pip --version >/dev/null 2>&1; }; then
    say "$directory does not work (half made, moved, or its Python is gone): making it again"
    rm -rf "$directory"
  fi
  if [ ! -d "$directory" ]; then
    base=$(find_python) || exit 1
    check_venv "$base" || exit 1
    say "Making $directory with $("$base" --version)"
    "$base" -m venv "$directory" || die "Making $directory failed; see above."
  fi
  wanted=$({
    printf '%s\n' "$root"
    "$python" --version
    cat pyproject.toml constraints.txt
  } | cksum)
  stamp=$directory/installed-${extras:-runtime}
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return 0; fi
  say "Installing keenframe${extras:+[$extras]} into $directory (once; a few minutes on a slow line)"
  "$python" -m pip install --quiet --disable-pip-version-check --no-input \
    -c constraints.txt -e ".${extras:+[$extras]}" || die "pip could not install; see above."
  printf '%s\n' "$wanted" >"$stamp"
  printf '%s\n' "$wanted" >"$directory/installed-runtime"
}
