#!/bin/sh
# Denies an address the services that ask /etc/hosts.deny (TCP wrappers): one line `ALL:<address>`, an IPv6
# address in brackets. Takes that very line away again on delete.

. "$(dirname -- "$0")/common.sh"
begin "$@"
check_address
one_at_a_time

file=${OSSEC_HOSTS_DENY:-/etc/hosts.deny}
if [ "$family" = 6 ]; then
    line="ALL:[$address]"
else
    line="ALL:$address"
fi

present() {
    [ -f "$file" ] && grep -qxF -e "$line" "$file"
}

# The file is made anew beside the old one and renamed, so that nobody ever reads half of it.
replace_with() {
    scratch=$(mktemp "$file.XXXXXX") || fail "cannot make a file beside $file"
    if [ -f "$file" ]; then
        cp -p "$file" "$scratch" || fail "cannot copy $file"
    else
        chmod 644 "$scratch"
    fi
    "$@" >"$scratch" || fail "cannot write $scratch"
    if [ -L "$file" ] || ! mv -f "$scratch" "$file" 2>/dev/null; then
        # A link, or a file that is mounted into a container, can only be written in place.
        cat "$scratch" >"$file" || fail "cannot write $file"
    fi
}

with_line() {
    # awk ends the last line with a newline if it has none.
    { [ ! -f "$file" ] || awk 1 "$file"; } && printf '%s\n' "$line"
}

without_line() {
    grep -vxF -e "$line" "$file" || [ $? -eq 1 ]
}

case $action in
add) present || replace_with with_line ;;
delete) ! present || replace_with without_line ;;
esac
