# shellcheck shell=bash
# Sourced by deploy/demo and test/run: installs what is missing on a Debian-like machine.

GO_VERSION=1.26.0

say() { printf '%s\n' "$*" >&2; }

# packages NAME... installs the Debian packages that are missing, or prints the one line to run.
packages() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "Packages are missing. Run this line as root, then run this command again:"
    say "  apt-get update && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf && apt-get install -y ${missing[*]}"
    return 1
  fi
  say "Installing: ${missing[*]}"
  # Otherwise the distribution would start a database of its own.
  mkdir -p /etc/postgresql-common
  grep -qs '^create_main_cluster *= *false' /etc/postgresql-common/createcluster.conf ||
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 </dev/null
}

# postgresql installs the distribution's server package, of any version.
postgresql() {
  if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ! command -v psql >/dev/null; then
    packages postgresql postgresql-client
  fi
}

# go_toolchain puts the pinned Go (or a newer one) on PATH.
go_toolchain() {
  export PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
  if ! command -v go >/dev/null; then
    packages golang-go ca-certificates || return 1
  fi
  # An older go fetches the toolchain that go.mod names automatically.
  export GOTOOLCHAIN=${GOTOOLCHAIN:-auto}
  if ! (cd "$ROOT" && go version >/dev/null 2>&1); then
    say "Go $GO_VERSION or newer is needed. Install it from your distribution's backports or from go.dev, then run this command again."
    return 1
  fi
}
