# Shared by the scripts beside this folder: messages, Debian packages, the virtual environment.
# shellcheck shell=bash

# GstRtspServer's package brings the GStreamer plug-ins that it needs.
# shellcheck disable=SC2034 # used by the scripts that source this file
RUNTIME_DEBS=(ca-certificates python3 python3-venv python3-gi gir1.2-gst-rtsp-server-1.0)

say() { printf '%s\n' "== $*" >&2; }

die() {
  printf '%s\n' "error: $*" >&2
  exit 1
}

# need_root COMMAND...: go on only if as_root will work; else name the command to run by hand.
need_root() {
  if [ "$(id -u)" -eq 0 ]; then
    return 0
  fi
  command -v sudo >/dev/null || die "this needs root, and sudo is not installed. Run as root: $*"
  # Without a terminal sudo could not ask for a password.
  [ -t 0 ] || sudo -n true 2>/dev/null || die "this needs root, and sudo asks for a password. Run in a terminal: sudo $*"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# missing_debs PACKAGE...: print those that are not installed.
missing_debs() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
  done
}

# need_debs PACKAGE...: install what is missing; quick when nothing is.
need_debs() {
  local missing
  command -v apt-get >/dev/null ||
    die "this is no Debian, Ubuntu or Raspberry Pi OS: there is no apt-get. Debian's names of what is needed: $*"
  mapfile -t missing < <(missing_debs "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  need_root apt-get install --no-install-recommends "${missing[@]}"
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -q >&2 || say "apt-get update failed; trying with the package lists at hand"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
    die "could not install ${missing[*]}. Needed: a network or a Debian mirror, and room on the disk. \
Mend that, or install them yourself: sudo apt-get install --no-install-recommends ${missing[*]}"
}

# need_venv FOLDER SOURCE [PIP ARGUMENT...]: a virtual environment that holds SOURCE as these arguments say;
# quick when neither the project's metadata nor the arguments have changed.
need_venv() {
  local venv=$1 source=$2 stamp
  shift 2
  /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Python 3.11 or newer is needed; this system has $(/usr/bin/python3 --version). Debian 12 and later have it."
  stamp=$({
    /usr/bin/python3 --version
    printf '%s\n' "$source" "$@"
    cat "$source/setup.cfg" "$source/pyproject.toml" "$source/anonymizer/__init__.py"
  } | sha256sum)
  [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  say "installing Python packages into $venv (a few minutes the first time)"
  # GStreamer's bindings come from Debian, so the environment must see the system's packages. One that was interrupted
  # while it was made, or whose Python is another since Debian was upgraded, has no pip and is made anew.
  "$venv/bin/python" -c 'import pip' 2>/dev/null || /usr/bin/python3 -m venv --clear --system-site-packages "$venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" >&2 ||
    die "pip could not install the Python packages, see above. Needed: a network, or PIP_INDEX_URL naming a package \
index, and room on the disk"
  printf '%s\n' "$stamp" >"$venv/.stamp"
}

# copy_source SOURCE FOLDER: what the package is made from. Made where it lies, root would leave files there that stop
# its owner's ./scripts/run, and modules that are gone would be installed for ever.
copy_source() {
  local source=$1 folder=$2
  cp -R "$source"/{setup.cfg,pyproject.toml,README.md,LICENSE,anonymizer,models} "$folder"
}
