#!/bin/sh
# Sets remoted.max_agents in a file of internal options.   setmaxagents.sh <file> [<number>]
#
# A limit of the running suite, not of the compiler: it is read at the start of the manager's daemons. The file is made
# anew beside the old one and renamed, so that nobody ever reads half of it; all other lines stay as they are.

set -u
file=${1:?usage: setmaxagents.sh <internal_options.conf> [<number>]}
number=${2:-}
least=1
most=1000000

die() {
    echo "setmaxagents: $*" >&2
    exit 1
}

[ -f "$file" ] || die "there is no file '$file' (set INTERNAL_OPTIONS=... to name another)"
if [ -z "$number" ]; then
    printf 'Specify maximum number of agents: '
    read -r number || die "no number was given"
fi
case $number in
'' | *[!0-9]* | 0* | ????????*) die "'$number' is not a number from $least to $most; nothing was changed" ;;
esac
[ "$number" -ge "$least" ] && [ "$number" -le "$most" ] ||
    die "'$number' is not a number from $least to $most; nothing was changed"

fresh=$(mktemp "$file.XXXXXX") || die "cannot make a file beside $file"
trap 'rm -f "$fresh"' EXIT
cp -p "$file" "$fresh" || die "cannot copy $file"
awk -v line="remoted.max_agents=$number" '
    /^remoted\.max_agents=/ { if (!done) print line; done = 1; next }
    { print }
    END { if (!done) print line }
' "$file" >"$fresh" || die "cannot write $fresh"
mv -f "$fresh" "$file" || die "cannot rename $fresh to $file"
echo "Maximum number of agents set to $number: remoted.max_agents in $file."
echo "It holds from the next install, or for an installed suite: put it into etc/local_internal_options.conf and restart."
