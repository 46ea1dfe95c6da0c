#!/bin/sh
# make demo: the suite at work, in temporary install roots, without root rights, in two parts.
#   1-5  one host watches a log and a folder, and is shown an ssh brute force, a web attack and a changed file
#   6-8  a manager and two agents: an attack on an agent, the response there, a manager that is away for a while
# It prints the alerts as they come, and stops. Exit code 0: all of it was seen, and no line was lost.
set -eu
cd "$(dirname "$0")/.."
project=$PWD
demo=$(mktemp -d "${TMPDIR:-/tmp}/oxsec-demo.XXXXXX")
export OXSEC_STAY_USER=1
roots=
viewer=

cleanup() {
  [ -z "$viewer" ] || end_view
  for root in $roots; do
    [ ! -x "$root/bin/ossec-control" ] || control "$root" stop >/dev/null 2>&1 || true
  done
  rm -rf "$demo"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP PIPE

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { sed -u 's/^/    /'; }

# run <root> <program> <arguments>
run() {
  at=$1/bin/$2
  at_root=$1
  shift 2
  OXSEC_ROOT=$at_root "$at" "$@"
}

# control <root> <word>
control() { run "$1" ossec-control "$2"; }

# stage <root> <flags of install.sh>
stage() {
  roots="$roots $1"
  sh install.sh --stage "$@" --no-build >/dev/null
}

# until_holds <root whose log tells why not> <what> <command>: half a minute at most.
until_holds() {
  log=$1/logs/ossec.log
  what=$2
  shift 2
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "waited in vain for $what"; tail -20 "$log"; exit 1; }
    sleep 0.1
  done
}

# Shows the alerts of a root as they come; the file appears with the first one.
view() {
  mkfifo "$1.alerts"
  show < "$1.alerts" &
  tail -n +1 -F "$1/logs/alerts/alerts.log" > "$1.alerts" 2>/dev/null &
  viewer=$!
}

end_view() {
  kill "$viewer" 2>/dev/null || true
  viewer=
}

# await <root> <rule> <what>
await() {
  until_holds "$1" "an alert of rule $2 ($3)" grep -qs "^Rule: $2 " "$1/logs/alerts/alerts.log"
  sleep 0.7 # for the reader, and for tail to catch up
}

rules() { sed -n '/<rules>/,/<\/rules>/p' etc/ossec-local.conf; }

# ---- one host ----------------------------------------------------------------------------------------------

root=$demo/root
say "1. An install root of its own: $root"
stage "$root" --type local
mkdir "$demo/log" "$demo/files"
: > "$demo/log/auth.log"
: > "$demo/log/access.log"
echo 'PermitRootLogin no' > "$demo/files/sshd_config"
cat > "$root/etc/ossec.conf" <<CONF
<ossec_config>
  <global><jsonout_output>yes</jsonout_output></global>
  $(rules)
  <syscheck>
    <directories check_all="yes" realtime="yes">$demo/files</directories>
  </syscheck>
  <localfile><log_format>syslog</log_format><location>$demo/log/auth.log</location></localfile>
  <localfile><log_format>apache</log_format><location>$demo/log/access.log</location></localfile>
</ossec_config>
CONF

say "2. ossec-control start"
control "$root" start
until_holds "$root" "real time monitoring" grep -q 'Real time file monitoring started' "$root/logs/ossec.log"
until_holds "$root" "the end of the first scan" [ -e "$root/queue/syscheck/.syscheck.cpt" ]
view "$root"

say "3. Somebody guesses passwords over ssh"
while IFS= read -r line; do printf '%s\n' "$line" >> "$demo/log/auth.log"; done < "$project/tests/data/demo/auth-bruteforce.log"
await "$root" 5716 "one failed login"
await "$root" 5720 "many failed logins of one address"

say "4. Somebody attacks the web server"
cat "$project/tests/data/demo/web-attack.log" >> "$demo/log/access.log"
await "$root" 31103 "SQL injection"

say "5. A configuration file changes; then ossec-control status, and stop"
echo 'PermitRootLogin yes' > "$demo/files/sshd_config"
await "$root" 550 "a changed file"
control "$root" status
control "$root" stop
end_view
count=$(grep -c '^\*\* Alert' "$root/logs/alerts/alerts.log")

# ---- a manager and two agents ------------------------------------------------------------------------------

# A UDP port on which nobody listens, below those that the system hands out.
free_port() {
  port=$((20000 + $$ % 10000))
  while grep -qis ":$(printf %04x "$port") " /proc/net/udp; do port=$((port + 1)); done
  echo "$port"
}

manager=$demo/manager
port=$(free_port)

# agent <id> <name> <address>: adds it on the manager, and takes its key to the agent's root.
agent() {
  stage "$demo/$2" --type agent --manager 127.0.0.1
  run "$manager" manage-agents -n "$2" -a "$3" >/dev/null </dev/null
  run "$manager" manage-agents -e "$1" | tail -n 1 | OSSEC_ACTION_CONFIRMED=y run "$demo/$2" manage-agents -i - >/dev/null
  : > "$demo/$2.log"
  cat > "$demo/$2/etc/ossec.conf" <<CONF
<ossec_config>
  <client><server-ip>127.0.0.1</server-ip><port>$port</port><local_ip>$3</local_ip><notify_time>1</notify_time></client>
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>$demo/$2.log</location></localfile>
</ossec_config>
CONF
  cat > "$demo/$2/active-response/bin/block.sh" <<SCRIPT
#!/bin/sh
echo "$2 runs: block.sh \$*" >> "$demo/responses"
SCRIPT
  chmod 550 "$demo/$2/active-response/bin/block.sh"
}

say "6. A manager, and the agents web01 and web02: keys added there, imported here"
stage "$manager" --type server
cat > "$manager/etc/ossec.conf" <<CONF
<ossec_config>
  <global><logall>yes</logall></global>
  $(rules)
  <remote><connection>secure</connection><port>$port</port><local_ip>127.0.0.1</local_ip></remote>
  <syscheck><disabled>yes</disabled></syscheck>
  <command><name>block</name><executable>block.sh</executable><expect>srcip</expect></command>
  <active-response><command>block</command><location>local</location><rules_id>5720</rules_id></active-response>
</ossec_config>
CONF
agent 001 web01 127.0.0.2
agent 002 web02 127.0.0.3
: > "$demo/responses"
control "$manager" start >/dev/null
for name in web01 web02; do
  control "$demo/$name" start >/dev/null
  until_holds "$demo/$name" "the list of responses" grep -qs block "$demo/$name/etc/shared/ar.conf"
done
run "$manager" agent_control -l | show

say "7. Somebody guesses passwords on web01: the manager judges, web01 answers"
cat "$project/tests/data/demo/auth-bruteforce.log" >> "$demo/web01.log"
await "$manager" 5720 "many failed logins of one address, seen by web01"
until_holds "$demo/web01" "the response" grep -q 203.0.113.9 "$demo/responses"
grep -B 2 -A 2 '^Rule: 5720 ' "$manager/logs/alerts/alerts.log" | show
show < "$demo/responses"

say "8. The manager is stopped; both agents go on watching; the manager is started again"
# All lines that came to the manager, by the agent they came from.
arrived() { sed -n "s/^.*($1) .*app: line \([0-9]*\)\$/\1/p" "$manager/logs/archives/archives.log"; }
are_all_there() { [ "$(arrived web01 | wc -l)" -ge 500 ] && [ "$(arrived web02 | wc -l)" -ge 500 ]; }
control "$manager" stop >/dev/null
for line in $(seq 500); do
  for name in web01 web02; do echo "Nov 14 22:15:00 $name app: line $line" >> "$demo/$name.log"; done
done
for name in web01 web02; do
  until_holds "$demo/$name" "the spool" grep -qs '^waiting=5[0-9][0-9]$' "$demo/$name/var/run/ossec-agentd.state"
  echo "    $name: $(grep '^waiting=' "$demo/$name/var/run/ossec-agentd.state") events in its spool"
done
control "$manager" start >/dev/null
until_holds "$manager" "the lines of both agents" are_all_there
for name in web01 web02; do
  seq 500 > "$demo/written"
  arrived "$name" | cmp - "$demo/written" || { echo "lines of $name are lost, doubled or out of order"; exit 1; }
  echo "    $name: 500 lines written meanwhile, 500 arrived, in order, each once"
done

for name in web01 web02 manager; do control "$demo/$name" stop >/dev/null; done
say "$count alerts on one host: the brute force, the web attack and the changed file were all seen.
A manager and two agents: the attack was judged there and answered here; no line was lost while the manager was away."
