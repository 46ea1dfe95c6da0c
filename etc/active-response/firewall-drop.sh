#!/bin/sh
# Drops all packets from an address. With nftables: an own table `inet ossec` with one set for each family. Without:
# an own chain OSSEC (or $OSSEC_FW_CHAIN) of iptables or ip6tables, entered from INPUT and FORWARD. Nothing outside
# the own table or chain is touched, and both actions may be repeated.

. "$(dirname -- "$0")/common.sh"
begin "$@"
check_address
one_at_a_time

chain=${OSSEC_FW_CHAIN:-OSSEC}
set=drop$family
case $family in
4) tables=iptables ;;
6) tables=ip6tables ;;
esac

has_nft() {
    command -v nft >/dev/null 2>&1 && nft list tables >/dev/null 2>&1
}

has_iptables() {
    command -v "$tables" >/dev/null 2>&1 && "$tables" -w -n -L INPUT >/dev/null 2>&1
}

# One transaction: either all of it holds or nothing has changed.
nft_add() {
    nft -f - <<RULES
add table inet ossec
add set inet ossec drop4 { type ipv4_addr; }
add set inet ossec drop6 { type ipv6_addr; }
add chain inet ossec input { type filter hook input priority -10; }
add chain inet ossec forward { type filter hook forward priority -10; }
flush chain inet ossec input
flush chain inet ossec forward
add rule inet ossec input ip saddr @drop4 counter drop
add rule inet ossec input ip6 saddr @drop6 counter drop
add rule inet ossec forward ip saddr @drop4 counter drop
add rule inet ossec forward ip6 saddr @drop6 counter drop
add element inet ossec $set { $address }
RULES
}

nft_holds() {
    nft get element inet ossec "$set" "{ $address }" >/dev/null 2>&1
}

iptables_add() {
    "$tables" -w -n -L "$chain" >/dev/null 2>&1 || "$tables" -w -N "$chain" || return 1
    for from in INPUT FORWARD; do
        "$tables" -w -C "$from" -j "$chain" 2>/dev/null || "$tables" -w -I "$from" -j "$chain" || return 1
    done
    iptables_holds || "$tables" -w -I "$chain" -s "$address" -j DROP
}

iptables_holds() {
    "$tables" -w -C "$chain" -s "$address" -j DROP 2>/dev/null
}

add() {
    if has_nft; then
        nft_add || fail "nft refused to drop $address"
    elif has_iptables; then
        iptables_add || fail "$tables refused to drop $address"
    else
        fail "neither nft nor $tables works here: install one of them, or use route-null.sh"
    fi
}

# Looks in both places: the other tool may have been installed since.
delete() {
    has_nft && nft=yes || nft=
    has_iptables && iptables=yes || iptables=
    [ -n "$nft$iptables" ] || fail "neither nft nor $tables works here"
    if [ -n "$nft" ] && nft_holds; then
        nft delete element inet ossec "$set" "{ $address }" || fail "nft refused to release $address"
    fi
    if [ -n "$iptables" ] && iptables_holds; then
        "$tables" -w -D "$chain" -s "$address" -j DROP || fail "$tables refused to release $address"
    fi
    return 0
}

"$action"
