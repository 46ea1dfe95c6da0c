#!/bin/sh
# Restarts the suite, for instance after a change of its configuration. There is nothing to take back.

. "$(dirname -- "$0")/common.sh"
begin "$@"
[ "$action" = add ] || exit 0

# Below systemd a restart must come from systemd: this script belongs to the service that is stopped, and would be
# stopped with it half-way.
if [ -d /run/systemd/system ] && systemctl show -p ExecStart ossec-hids.service 2>/dev/null | grep -qF "$root/bin/" &&
    systemctl -q is-active ossec-hids.service; then
    systemctl --no-block restart ossec-hids.service || fail "systemctl refused to restart ossec-hids"
    exit 0
fi
"$root/bin/ossec-control" restart >/dev/null 2>&1 </dev/null || fail "ossec-control restart ended with an error, see $root/logs/ossec.log"
