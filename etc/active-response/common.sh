# What the response scripts share; sourced by them, does nothing by itself. POSIX sh.
#
# execd calls a script so:   <script> add|delete <user|-> <address|-> <alert id> <rule id> <location> <file|->
# Each call leaves one line in logs/active-responses.log, and a script that could not do its work exits non-zero:
# execd then says so in logs/ossec.log.

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
# The install root is found from the script's own place: <root>/active-response/bin/<script>.
root=$(dirname -- "$(dirname -- "$here")")
script=$here/$(basename -- "$0")
action=${1:-}
user=${2:-}
address=${3:-}

# What is left behind whichever way the script ends: a scratch file, a lock folder.
scratch=
held=
leave() {
    [ -z "$scratch" ] || rm -f "$scratch"
    [ -z "$held" ] || rmdir "$held"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

# Adds a line to the log of responses: date, script, then the given words.
log_line() {
    log=$root/logs/active-responses.log
    # The folder belongs to another user: never write through a link that was put there.
    if [ -L "$log" ]; then
        echo "$script: $log is a symbolic link, nothing is written" >&2
        return 0
    fi
    line="$(LC_ALL=C date '+%a %b %e %H:%M:%S %Z %Y') $script $*"
    printf '%s\n' "$line" | tr -d '\000-\011\013-\037\177' >>"$log" 2>/dev/null ||
        echo "$script: cannot write to $log" >&2
}

# Ends the script with an error that is seen in the log of responses and on the terminal.
fail() {
    log_line "error: $*"
    echo "$script: $*" >&2
    exit 1
}

# Logs the call and makes sure that the action is one.
begin() {
    log_line "$action $user $address ${4:-} ${5:-}"
    case $action in
    add | delete) ;;
    *) fail "usage: $script add|delete <user|-> <address|-> [alert id] [rule id]" ;;
    esac
}

# From here to the script's end no second run of the same script is under way. The lock is on the script's own
# file, so that no lock file has to be made, guarded or cleaned up.
one_at_a_time() {
    if command -v flock >/dev/null 2>&1; then
        exec 9<"$script"
        flock -w 120 9 || fail "another run holds the lock for more than two minutes"
        return
    fi
    lock=$root/var/run/$(basename -- "$script").lock
    tries=0
    until mkdir "$lock" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 120 ] || fail "another run holds $lock for more than two minutes; remove it if none is under way"
        sleep 1
    done
    held=$lock
}

# Sets `family` to 4 or 6, and `address` to its plain form; ends the script if it is no address of another host.
check_address() {
    # An IPv4 client of an IPv6 socket is logged as ::ffff:192.0.2.1.
    case $address in
    ::[fF][fF][fF][fF]:*.*) address=${address#::????:} ;;
    esac
    if is_ipv4 "$address"; then
        family=4
        case $address in
        0.* | 127.* | 22[4-9].* | 23[0-9].* | 24[0-9].* | 25[0-5].*)
            fail "'$address' is not the address of another host (this host, multicast, or reserved)" ;;
        esac
    elif is_ipv6 "$address"; then
        family=6
        case $(printf '%s' "$address" | tr -d '0:') in
        '' | 1) fail "'$address' is this host" ;;
        esac
        case $address in
        [fF][fF]??:*) fail "'$address' is a multicast address" ;;
        esac
    else
        fail "'$address' is not an IP address"
    fi
}

is_ipv4() {
    case $1 in
    *[!0-9.]* | .* | *. | *..* | *.*.*.*.*) return 1 ;;
    *.*.*.*) ;;
    *) return 1 ;;
    esac
    rest=$1.
    while [ -n "$rest" ]; do
        part=${rest%%.*}
        rest=${rest#*.}
        case $part in
        # A leading zero means octal to some programs and decimal to others.
        0?* | ????*) return 1 ;;
        esac
        [ "$part" -le 255 ] || return 1
    done
}

is_ipv6() {
    case $1 in
    *[!0-9A-Fa-f:]* | *:::* | *::*::* | :[!:]* | *[!:]: | *[!:][!:][!:][!:][!:]*) return 1 ;;
    *:*:*) ;;
    *) return 1 ;;
    esac
    count=0
    rest=$1:
    while [ -n "$rest" ]; do
        [ -z "${rest%%:*}" ] || count=$((count + 1))
        rest=${rest#*:}
    done
    case $1 in
    *::*) [ "$count" -le 7 ] ;;
    *) [ "$count" -eq 8 ] ;;
    esac
}
