#!/usr/bin/env bash
# fence-agents 4.12: a fence agent that does not know the name of a parameter ignores it, and without an action it reboots the host.
#
# From memory: agents read "name=value" lines, as configuration files do, so spaces around "=" do not matter, and a name that no
# parameter has is an error, above all for a program that can cut the power. Without an action an agent refuses, or asks for the status.
#
# In fact a line is split at the first "=" and nothing is taken off the name, so "action = status" sets a parameter "action " that does not
# exist. Unknown names are left out with a warning on standard error, and an action that is not given is "reboot". So "action = status",
# "actoin=status", "operation=status" and "option=status" all reboot the host, and exit with 0 and "Success: Rebooted". A script that
# looks whether a host is on takes it down. Watch standard error for "Ignoring unknown option", and try a new way to call an agent with
# fence_dummy first, as here.
#
# Seen on fence-agents 4.12.1 (Debian 12).
# Fails if that changes. It needs the distribution's python3 and the library of its libcurl for GnuTLS.
set -euo pipefail
VERSION=4.12.1-1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "fence-agents=$VERSION" python3-pexpect python3-ptyprocess python3-pycurl
for deb in ./*.deb; do dpkg -x "$deb" root; done
export PYTHONPATH=$work/root/usr/share/fence:$work/root/usr/lib/python3/dist-packages

agent() { # LINE: what the agent says and does, with its warnings
  local status=0 said
  said=$(printf '%s\n' "$1" type=file "status_file=$work/power" | /usr/bin/python3 root/usr/sbin/fence_dummy 2>warnings) || status=$?
  printf '%s, exit %d' "$said" "$status"
  ! grep -q 'Ignoring unknown option' warnings || printf ', a warning'
}
/usr/bin/python3 root/usr/sbin/fence_dummy --version | head -n 1
printf on >power
known=$(agent action=status)
printf '%-18s %s\n' action=status "$known"
for line in 'action = status' actoin=status operation=status option=status; do
  said=$(agent "$line")
  printf '%-18s %s\n' "$line" "$said"
  [ "$said" = 'Success: Rebooted, exit 0, a warning' ]
done
[ "$known" = 'Status: ON, exit 0' ]
