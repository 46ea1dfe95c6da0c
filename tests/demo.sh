#!/bin/sh
# make demo: the suite at work, in a temporary install root, without root rights. It watches a log and a folder, is shown an
# ssh brute force, a web attack and a changed file, prints the alerts as they come, and stops. Exit code 0: all three were seen.
set -eu
cd "$(dirname "$0")/.."
project=$PWD
demo=$(mktemp -d "${TMPDIR:-/tmp}/oxsec-demo.XXXXXX")
root=$demo/root
export OXSEC_ROOT="$root" OXSEC_STAY_USER=1
viewer=

cleanup() {
  [ -z "$viewer" ] || kill "$viewer" 2>/dev/null || true
  [ ! -x "$root/bin/ossec-control" ] || "$root/bin/ossec-control" stop >/dev/null 2>&1 || true
  rm -rf "$demo"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP PIPE

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. An install root of its own: $root"
sh install.sh --stage "$root" --type local --no-build >/dev/null
mkdir "$demo/log" "$demo/files"
: > "$demo/log/auth.log"
: > "$demo/log/access.log"
echo 'PermitRootLogin no' > "$demo/files/sshd_config"
cat > "$root/etc/ossec.conf" <<CONF
<ossec_config>
  <global><jsonout_output>yes</jsonout_output></global>
  $(sed -n '/<rules>/,/<\/rules>/p' etc/ossec-local.conf)
  <syscheck>
    <directories check_all="yes" realtime="yes">$demo/files</directories>
  </syscheck>
  <localfile><log_format>syslog</log_format><location>$demo/log/auth.log</location></localfile>
  <localfile><log_format>apache</log_format><location>$demo/log/access.log</location></localfile>
</ossec_config>
CONF

say "2. ossec-control start"
"$root/bin/ossec-control" start

tries=0
until grep -q 'Real time file monitoring started' "$root/logs/ossec.log" && [ -e "$root/queue/syscheck/.syscheck.cpt" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { echo "the first scan did not end"; tail -20 "$root/logs/ossec.log"; exit 1; }
  sleep 0.1
done
mkdir -p "$root/logs/alerts"
touch "$demo/seen"
# The alerts file appears with the first alert.
( until [ -e "$root/logs/alerts/alerts.log" ]; do sleep 0.05; done
  exec tail -n +1 -f "$root/logs/alerts/alerts.log" ) | sed -u 's/^/    /' &
viewer=$!

seen() { grep -q "^Rule: $1 " "$root/logs/alerts/alerts.log" 2>/dev/null; }
await() {
  tries=0
  until seen "$1"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "no alert of rule $1 ($2)"; tail -20 "$root/logs/ossec.log"; exit 1; }
    sleep 0.1
  done
  sleep 0.7 # for the reader, and for tail to catch up
}

say "3. Somebody guesses passwords over ssh"
while IFS= read -r line; do printf '%s\n' "$line" >> "$demo/log/auth.log"; done < "$project/tests/data/demo/auth-bruteforce.log"
await 5716 "one failed login"
await 5720 "many failed logins of one address"

say "4. Somebody attacks the web server"
cat "$project/tests/data/demo/web-attack.log" >> "$demo/log/access.log"
await 31103 "SQL injection"

say "5. A configuration file changes"
echo 'PermitRootLogin yes' > "$demo/files/sshd_config"
await 550 "a changed file"

say "6. ossec-control status, then stop"
"$root/bin/ossec-control" status
"$root/bin/ossec-control" stop
count=$(grep -c '^\*\* Alert' "$root/logs/alerts/alerts.log")
say "$count alerts; the brute force, the web attack and the changed file were all seen."
