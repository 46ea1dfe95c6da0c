#!/bin/sh
# Sends everything for an address into a black hole, so that answers never reach it. For hosts without a packet filter.

. "$(dirname -- "$0")/common.sh"
begin "$@"
check_address
one_at_a_time

command -v ip >/dev/null 2>&1 || fail "the program 'ip' (iproute2) is not installed"
case $family in
4) target=$address/32 ;;
6) target=$address/128 ;;
esac

case $action in
add)
    ip "-$family" route replace blackhole "$target" || fail "ip refused the black hole for $address"
    ;;
delete)
    if [ -n "$(ip "-$family" route show type blackhole "$target" 2>/dev/null)" ]; then
        ip "-$family" route del blackhole "$target" || fail "ip refused to take away the black hole for $address"
    fi
    ;;
esac
