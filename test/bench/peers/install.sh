#!/usr/bin/env bash
# Installs what test/bench/peers compares Mainstay with, from the distribution, and leaves no service of it running. The
# benchmark runs this; deploy/demo and test/run do not need it.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../../.." && pwd)
. "$ROOT/deploy/install.sh"

present() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

new=()
for p in etcd-server patroni; do
  present "$p" || new+=("${p%-server}")
done
postgresql
packages etcd-server patroni iproute2 nftables util-linux
# The packages start services of their own, which would be measured as well.
if [ ${#new[@]} -gt 0 ] && [ -d /run/systemd/system ]; then
  systemctl disable --now "${new[@]}" >&2 || say "Stop these services before you measure: ${new[*]}"
fi
