#!/bin/sh
# Locks the password of an account, and unlocks it on delete. Refuses root and the accounts of the system. An account that
# somebody else has locked before stays locked. (A locked password does not end sessions, nor logins by key.)

. "$(dirname -- "$0")/common.sh"
begin "$@"
case $user in
'' | - | -* | *[!A-Za-z0-9._@-]*) fail "'$user' is not the name of an account" ;;
esac
one_at_a_time

id=$(id -u -- "$user" 2>/dev/null) || fail "there is no account '$user'"
first=$(sed -n 's/^[[:space:]]*UID_MIN[[:space:]]\{1,\}\([0-9]\{1,\}\).*/\1/p' "${OSSEC_LOGIN_DEFS:-/etc/login.defs}" 2>/dev/null)
if [ "$id" -lt "${first:-1000}" ] || [ "$id" -eq 65534 ]; then
    fail "'$user' (uid $id) is an account of the system: refused, locking it could lock everybody out"
fi

ours=$root/queue/execd/locked-$user
theirs=$root/queue/execd/was-locked-$user

is_locked() {
    case $(LC_ALL=C passwd -S "$user" 2>/dev/null) in
    "$user L "* | "$user LK "*) return 0 ;;
    esac
    return 1
}

case $action in
add)
    if is_locked && [ ! -e "$ours" ]; then
        : >"$theirs" || fail "cannot note in $theirs that '$user' was locked before"
        exit 0
    fi
    # Noted first: if we are killed in between, unlocking what is not locked does no harm.
    : >"$ours" || fail "cannot note in $ours that '$user' gets locked"
    passwd -l "$user" >/dev/null || fail "passwd refused to lock '$user'"
    ;;
delete)
    if [ -e "$theirs" ]; then
        rm -f "$theirs"
        exit 0
    fi
    passwd -u "$user" >/dev/null || fail "passwd refused to unlock '$user'"
    rm -f "$ours"
    ;;
esac
