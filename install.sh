#!/bin/sh
# Installs, upgrades, stages or removes Oxsec on this host. Asks what it needs to know; `./install.sh --help` lists the
# flags that answer beforehand, for scripts. POSIX sh.
#
# The folders with their modes and owners come from queue/manifest, the programs from bin/, all else from etc/.
set -eu
umask 027

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
default_dir=/var/ossec
version=v$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$here/Cargo.toml")

# What flags, variables and answers decide; empty means: not decided yet.
type=
manager=
dir=
stage=
unattended=
uninstall=
purge=
build=yes
start=yes
bin_dir=${CARGO_TARGET_DIR:-$here/target}/release
unit_dir=/etc/systemd/system
init_dir=/etc/init.d
init_conf=/etc/ossec-init.conf
preloaded=$here/etc/preloaded-vars.conf
email=
email_to=
smtp=
syscheck=
response=
firewall=
allow=
update_rules=
clean=

usage() {
    cat <<'TEXT'
Usage: ./install.sh [options]

  --unattended           Ask nothing: take the flags, then etc/preloaded-vars.conf, then the defaults
  --type local|server|agent  What to install (default: local, one host that watches itself)
  --manager ADDRESS      The manager of an agent: its address or its name
  --dir DIR              Install root (default: /var/ossec)
  --no-build             Take the programs as they are in target/release
  --bin-dir DIR          Take the programs from DIR; implies --no-build
  --no-start             Do not start the suite afterwards
  --email ADDRESS        Write down where alerts are to be mailed to (with --smtp HOST)
  --no-syscheck          Do not watch files for changes
  --no-active-response   Never run active responses on this host
  --firewall-drop        Block the source of alerts of level 6 and above for ten minutes
  --allow ADDRESS        Never block this address (may be repeated)
  --keep-rules           On an upgrade: leave rules/ and etc/decoder.xml as they are
  --clean                Move an existing install root aside instead of upgrading it
  --unit-dir DIR         Where the systemd unit goes (default: /etc/systemd/system)
  --init-dir DIR         Where the init script goes without systemd (default: /etc/init.d)
  --init-conf FILE       Where the install is written down (default: /etc/ossec-init.conf)
  --stage DIR            Only lay out an install root in DIR, owned by you: no root rights, no users, no service
  --uninstall            Stop and remove the programs; configuration, logs and state stay
  --purge                With --uninstall: remove everything, the users too
  -h, --help             Show this help
TEXT
}

main() {
    read_flags "$@"
    read_preloaded
    if [ -n "$stage" ]; then
        stage_root
        return
    fi
    require_root
    if [ -n "$uninstall" ]; then
        remove
        return
    fi
    choose
    build_programs
    find_previous
    make_users
    make_folders
    put_files
    put_configuration
    write_init_conf
    put_service
    finish
}

say() { printf '%s\n' "$*"; }

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# ---- what is wanted ----------------------------------------------------------------------------------------

read_flags() {
    while [ $# -gt 0 ]; do
        case $1 in
        --type | --manager | --dir | --bin-dir | --email | --smtp | --allow | --unit-dir | --init-dir | --init-conf | --stage | --preloaded)
            [ $# -ge 2 ] || die "$1 needs a value"
            ;;
        esac
        case $1 in
        --unattended) unattended=yes ;;
        --type) type=$2 && shift ;;
        --manager) manager=$2 && shift ;;
        --dir) dir=$2 && shift ;;
        --no-build) build= ;;
        --bin-dir) bin_dir=$(absolute "$2") && build= && shift ;;
        --no-start) start= ;;
        --email) email=yes && email_to=$2 && shift ;;
        --smtp) smtp=$2 && shift ;;
        --no-syscheck) syscheck=no ;;
        --no-active-response) response=no ;;
        --firewall-drop) firewall=yes ;;
        --allow) allow="$allow $2" && shift ;;
        --keep-rules) update_rules=no ;;
        --clean) clean=yes ;;
        --unit-dir) unit_dir=$2 && shift ;;
        --init-dir) init_dir=$2 && shift ;;
        --init-conf) init_conf=$2 && shift ;;
        --preloaded) preloaded=$2 && shift ;;
        --stage) stage=$2 && shift ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            die "unknown option '$1'"
            ;;
        esac
        shift
    done
}

absolute() {
    case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
    esac
}

# The variables of OSSEC's installer; flags win over them.
read_preloaded() {
    if [ -f "$preloaded" ]; then
        # shellcheck disable=SC1090
        . "$preloaded"
    fi
    : "${type:=${USER_INSTALL_TYPE:-}}" "${dir:=${USER_DIR:-}}"
    : "${manager:=${USER_AGENT_SERVER_IP:-${USER_AGENT_SERVER_NAME:-}}}"
    : "${email:=$(yes_or_no "${USER_ENABLE_EMAIL:-}")}" "${email_to:=${USER_EMAIL_ADDRESS:-}}" "${smtp:=${USER_EMAIL_SMTP:-}}"
    : "${syscheck:=$(yes_or_no "${USER_ENABLE_SYSCHECK:-}")}"
    : "${response:=$(yes_or_no "${USER_ENABLE_ACTIVE_RESPONSE:-}")}"
    : "${firewall:=$(yes_or_no "${USER_ENABLE_FIREWALL_RESPONSE:-}")}"
    : "${allow:=${USER_WHITE_LIST:-}}" "${update_rules:=$(yes_or_no "${USER_UPDATE_RULES:-}")}"
    : "${clean:=$(yes_or_no "${USER_CLEANINSTALL:-${USER_DELETE_DIR:-}}")}"
    [ "$(yes_or_no "${USER_BINARYINSTALL:-}")" != yes ] || build=
    [ -z "${USER_NO_STOP:-}" ] || unattended=yes
}

yes_or_no() {
    case $1 in
    [yY]*) printf yes ;;
    [nN]*) printf no ;;
    esac
}

require_root() {
    [ "$(id -u)" = 0 ] || die "this needs root rights: run it with sudo, or try the suite with 'make demo' or --stage"
}

# ask <variable> <question> <default>: only if it is not decided yet.
ask() {
    eval "decided=\$$1"
    if [ -z "$decided" ]; then
        decided=$3
        if [ -z "$unattended" ]; then
            printf '%s [%s]: ' "$2" "$3"
            read -r answer || die "no answer; use --unattended to take the defaults"
            [ -z "$answer" ] || decided=$answer
        fi
    fi
    eval "$1=\$decided"
}

ask_yes_or_no() {
    ask "$1" "$2 (yes/no)" "$3"
    eval "decided=\$$1"
    decided=$(yes_or_no "$decided")
    [ -n "$decided" ] || die "please answer yes or no"
    eval "$1=\$decided"
}

choose() {
    [ -n "$unattended" ] || say "Oxsec $version. Press Enter to take what is in brackets."
    ask type "What is to be installed: local (this host watches itself), server, agent" local
    check_type
    ask dir "Where" "$(previous_dir)"
    check_dir
    if [ -e "$dir/etc/ossec.conf" ] && [ "$clean" != yes ]; then
        say "There is an installation in $dir: it is upgraded. Its configuration, local rules and keys stay as they are."
        return
    fi
    if [ "$type" = agent ]; then
        ask manager "Address or name of the manager" ""
        check_manager
        ask_yes_or_no syscheck "Shall files be watched for changes" yes
        ask_yes_or_no response "May the manager run active responses on this host" yes
        return
    fi
    ask_yes_or_no email "Shall alerts be mailed (stored for the mail daemon of a later release)" no
    if [ "$email" = yes ]; then
        ask email_to "To which address" "root@localhost"
        ask smtp "By which SMTP server" "127.0.0.1"
    fi
    ask_yes_or_no syscheck "Shall files be watched for changes" yes
    ask_yes_or_no response "May active responses be run on this host" yes
    if [ "$response" = yes ]; then
        ask_yes_or_no firewall "Block the source of alerts of level 6 and above for ten minutes" no
    fi
}

check_type() {
    case $type in
    local | server | agent) ;;
    *) die "'$type' is no type: local, server or agent" ;;
    esac
}

check_manager() {
    printf '%s' "$manager" | LC_ALL=C grep -Eq '^[A-Za-z0-9.:_-]{1,255}$' ||
        die "an agent needs its manager: --manager with an address or a name, not '$manager'"
}

check_dir() {
    # [a-z] would mean other letters in other languages.
    if ! printf '%s' "$dir" | LC_ALL=C grep -Eq '^/[A-Za-z0-9./_-]{3,128}$' || printf '%s' "$dir" | grep -q '\.\.'; then
        die "'$dir' is no usable folder: an absolute path of 4 to 129 letters, digits and ./_-"
    fi
    dir=${dir%/}
    case $dir in
    /bin | /boot | /dev | /etc | /home | /lib | /lib64 | /opt | /proc | /root | /run | /sbin | /srv | /sys | /tmp | /usr | /usr/local | /var)
        die "'$dir' belongs to the system: take a folder of its own, for instance $default_dir"
        ;;
    esac
}

# The install root that is written down on this host, or the default.
previous_dir() {
    known=$(sed -n 's/^DIRECTORY="\(.*\)"$/\1/p' "$init_conf" 2>/dev/null || true)
    printf '%s' "${known:-$default_dir}"
}

# ---- programs ----------------------------------------------------------------------------------------------

build_programs() {
    if [ -n "$build" ]; then
        say "Building (cargo build --release --locked) ..."
        if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
            # As the person who called sudo: so the build folder stays theirs, and their toolchain is found.
            home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
            sudo -H -u "$SUDO_USER" env PATH="$home/.cargo/bin:$PATH" \
                cargo build --release --locked --manifest-path "$here/Cargo.toml" || die "the build failed"
        else
            command -v cargo >/dev/null 2>&1 || die "cargo is not installed: get a Rust toolchain from https://rustup.rs"
            cargo build --release --locked --manifest-path "$here/Cargo.toml" || die "the build failed"
        fi
    fi
    for program in $(programs); do
        [ -f "$bin_dir/$program" ] || die "there is no $bin_dir/$program: build it first ('make build'), or name its folder with --bin-dir"
    done
}

# One file in bin/ for each program that we ship.
programs() {
    for file in "$here"/bin/*.rs; do
        name=$(basename "$file" .rs)
        case $type/$name in
        */lib) ;;
        # An agent does not judge, and has no agents.
        agent/ossec-analysisd | agent/ossec-remoted | agent/ossec-monitord | agent/ossec-authd) ;;
        *) printf '%s\n' "$name" ;;
        esac
    done
}

# ---- an installation that is already there -----------------------------------------------------------------

was_running=
find_previous() {
    [ -d "$dir" ] || return 0
    if [ -x "$dir/bin/ossec-control" ]; then
        if "$dir/bin/ossec-control" status 2>/dev/null | grep -q ' is running'; then
            was_running=yes
            say "Stopping what runs in $dir ..."
            stop_suite
        fi
    fi
    if [ "$clean" = yes ]; then
        aside=$dir.$(date +%Y%m%d%H%M%S)
        mv "$dir" "$aside"
        say "The old install root is kept as $aside."
    fi
}

stop_suite() {
    if systemd_runs && systemctl -q is-active ossec-hids.service && unit_is_ours; then
        systemctl stop ossec-hids.service
    fi
    "$dir/bin/ossec-control" stop >/dev/null 2>&1 || die "'$dir/bin/ossec-control stop' failed: stop the old suite by hand, then run this again"
}

# ---- users, folders, files ---------------------------------------------------------------------------------

make_users() {
    if ! grep -q '^ossec:' /etc/group; then
        groupadd --system ossec 2>/dev/null || addgroup -S ossec || die "cannot make the group 'ossec'"
    fi
    shell=/bin/false
    for nologin in /usr/sbin/nologin /sbin/nologin; do
        [ ! -x "$nologin" ] || shell=$nologin
    done
    for user in ossec ossecm ossecr; do
        id -u "$user" >/dev/null 2>&1 ||
            useradd --system --gid ossec --home-dir "$dir" --no-create-home --shell "$shell" "$user" 2>/dev/null ||
            adduser -S -D -H -h "$dir" -s "$shell" -G ossec "$user" || die "cannot make the user '$user'"
    done
}

# Runs `folder <path> <mode> <owner> <group>` for each folder of the manifest.
each_folder() {
    while read -r path kind mode owner group on _; do
        case $path in '#'* | '') continue ;; esac
        [ "$kind" = dir ] || continue
        case $on in
        all) folder "$path" "$mode" "$owner" "$group" ;;
        manager) [ "$type" = agent ] || folder "$path" "$mode" "$owner" "$group" ;;
        agent) [ "$type" != agent ] || folder "$path" "$mode" "$owner" "$group" ;;
        *) die "queue/manifest: '$on' is no kind of install (folder $path)" ;;
        esac
    done <"$here/queue/manifest"
}

folder() {
    mkdir -p "$root/$1"
    if [ -z "$stage" ]; then
        chown "$3:$4" "$root/$1"
        chmod "$2" "$root/$1"
    else
        chmod "$2" "$root/$1"
        # Staged folders belong to their caller, who must be able to write wherever some user of the suite can.
        chmod u+rwx "$root/$1"
    fi
}

make_folders() {
    root=$dir
    # The folders above it must let the suite's users through.
    (umask 022 && mkdir -p "$root")
    each_folder
}

# put <source> <path below the root> <mode> <owner:group>: whole or not at all, also over a program that runs.
put() {
    target=$root/$2
    if [ -n "$stage" ] && [ "${5:-}" = link ] && rm -f "$target" && ln "$1" "$target" 2>/dev/null; then
        return
    fi
    rm -f "$target.new"
    cp "$1" "$target.new"
    if [ -z "$stage" ]; then
        chown "$4" "$target.new"
        chmod "$3" "$target.new"
    else
        chmod "$3" "$target.new"
        chmod u+w "$target.new"
    fi
    mv -f "$target.new" "$target"
}

# As put, but what is there already stays.
put_once() {
    [ -e "$root/$2" ] || put "$@"
}

put_files() {
    for program in $(programs); do
        # A staged root is for trying out: a link is enough, programs with debug information are large.
        put "$bin_dir/$program" "bin/$program" 0550 root:root link
    done
    # The name that it has always had.
    ln -sfn manage-agents "$root/bin/manage_agents"
    for script in "$here"/etc/active-response/*.sh; do
        put "$script" "active-response/bin/$(basename "$script")" 0550 root:ossec
    done
    if [ -e "$root/etc/internal_options.conf" ] && ! cmp -s "$here/internal_options.conf" "$root/etc/internal_options.conf"; then
        cp -p "$root/etc/internal_options.conf" "$root/etc/internal_options.conf~"
    fi
    put "$here/internal_options.conf" etc/internal_options.conf 0640 root:ossec
    put_once "$here/etc/local_internal_options.conf" etc/local_internal_options.conf 0640 root:ossec
    put_once /dev/null etc/client.keys 0640 root:ossec
    # Lists of rootcheck; a manager hands its own to its agents.
    for list in "$here"/etc/shared/*.txt; do
        put_once "$list" "etc/shared/$(basename "$list")" 0640 ossec:ossec
    done
    put_once /dev/null logs/ossec.log 0660 ossec:ossec
    put_once /dev/null logs/active-responses.log 0660 ossec:ossec
    for file in localtime resolv.conf; do
        [ ! -f "/etc/$file" ] || put "/etc/$file" "etc/$file" 0440 root:ossec
    done
    [ "$type" = agent ] || put_rules
}

# Shipped rules are replaced, after a copy of all that was there; local ones stay.
put_rules() {
    if [ -e "$root/rules/syslog_rules.xml" ]; then
        if [ "$update_rules" = no ]; then
            say "Rules and decoders stay as they are."
            return
        fi
        if rules_differ; then
            saved=backup/rules-$(date +%Y%m%d%H%M%S)
            mkdir -p "$root/$saved"
            cp -p "$root"/rules/*.xml "$root/etc/decoder.xml" "$root/$saved/"
            say "The old rules and decoders are kept in $root/$saved."
        fi
    fi
    for rules in "$here"/etc/rules/*.xml; do
        name=$(basename "$rules")
        if [ "$name" = local_rules.xml ]; then
            put_once "$rules" "rules/$name" 0640 root:ossec
        else
            put "$rules" "rules/$name" 0640 root:ossec
        fi
    done
    put "$here/etc/decoder.xml" etc/decoder.xml 0640 root:ossec
}

rules_differ() {
    for rules in "$here"/etc/rules/*.xml; do
        name=$(basename "$rules")
        [ "$name" = local_rules.xml ] || cmp -s "$rules" "$root/rules/$name" || return 0
    done
    ! cmp -s "$here/etc/decoder.xml" "$root/etc/decoder.xml"
}

# ---- configuration -----------------------------------------------------------------------------------------

put_configuration() {
    if [ -e "$root/etc/ossec.conf" ]; then
        return
    fi
    configuration >"$root/etc/ossec.conf.made"
    put "$root/etc/ossec.conf.made" etc/ossec.conf 0640 root:ossec
    rm -f "$root/etc/ossec.conf.made"
}

# The shipped configuration with the answers in their places.
configuration() {
    extra=$(more_sections)
    addresses=$(for address in $allow; do printf '    <allow_list>%s</allow_list>\n' "$(escaped "$address")"; done)
    mail=
    if [ "$email" = yes ]; then
        mail="    <email_notification>yes</email_notification>
    <email_to>$(escaped "$email_to")</email_to>
    <smtp_server>$(escaped "$smtp")</smtp_server>
    <email_from>ossecm@$(escaped "$(hostname 2>/dev/null || echo localhost)")</email_from>"
    fi
    server=
    if [ -n "$manager" ]; then
        server="    $(server_element "$manager")"
    fi
    SERVER=$server EXTRA=$extra ADDRESSES=$addresses MAIL=$mail SYSCHECK=$syscheck awk '
        /^ *<server-ip>/ && ENVIRON["SERVER"] != "" { print ENVIRON["SERVER"]; next }
        /<email_notification>/ && ENVIRON["MAIL"] != "" { print ENVIRON["MAIL"]; next }
        /^ *<\/global>/ && ENVIRON["ADDRESSES"] != "" { print ENVIRON["ADDRESSES"] }
        /^<\/ossec_config>/ && ENVIRON["EXTRA"] != "" { print ""; print ENVIRON["EXTRA"] }
        { print }
        /^ *<syscheck>/ && ENVIRON["SYSCHECK"] == "no" { print "    <disabled>yes</disabled>" }
    ' "$here/etc/ossec-$type.conf"
}

# An address has a colon or ends in a number; a name does neither.
server_element() {
    case $1 in
    *:* | *.[0-9] | *.[0-9][0-9] | *.[0-9][0-9][0-9]) printf '<server-ip>%s</server-ip>' "$1" ;;
    *) printf '<server-hostname>%s</server-hostname>' "$1" ;;
    esac
}

escaped() {
    printf '%s' "$1" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'
}

# Log files that are on this host and not in the shipped configuration, and what was answered about responses.
more_sections() {
    if [ -z "$stage" ]; then
        logs=/var/log
        detected syslog $logs/authlog $logs/secure.log $logs/system.log $logs/ipfilter.log $logs/userlog $logs/security \
            $logs/xferlog $logs/proftpd.log $logs/vsftpd.log $logs/radius.log $logs/radius/radius.log $logs/mail.info \
            $logs/mail.notice $logs/mail.log $logs/maillog $logs/horde.log $logs/asl.log $logs/vmware/hostd.log \
            $logs/proftpd/proftpd.log
        detected squid $logs/squid/access.log /usr/local/squid/var/logs/access.log
        detected apache $logs/apache/error.log $logs/apache/access.log $logs/apache/error_log $logs/apache/access_log \
            /var/www/logs/access_log /var/www/logs/error_log
        detected postgresql_log $logs/postgresql/postgresql.log
        # Only where nothing writes the same lines to files.
        if [ ! -e $logs/auth.log ] && [ ! -e $logs/secure ] && [ ! -e $logs/syslog ] && [ ! -e $logs/messages ] &&
            [ -d /run/systemd/journal ]; then
            localfile journald all
        fi
    fi
    if [ "$response" = no ]; then
        printf '  <active-response>\n    <disabled>yes</disabled>\n  </active-response>\n'
    elif [ "$firewall" = yes ] && [ "$type" != agent ]; then
        cat <<'XML'
  <active-response>
    <command>firewall-drop</command>
    <location>local</location>
    <level>6</level>
    <timeout>600</timeout>
    <repeated_offenders>30,60,120</repeated_offenders>
  </active-response>
XML
    fi
}

detected() {
    format=$1
    shift
    for file in "$@"; do
        if [ -f "$file" ] && ! grep -qF "<location>$file</location>" "$here/etc/ossec-$type.conf"; then
            localfile "$format" "$file"
        fi
    done
}

localfile() {
    printf '  <localfile>\n    <log_format>%s</log_format>\n    <location>%s</location>\n  </localfile>\n' "$1" "$2"
}

write_init_conf() {
    {
        printf 'DIRECTORY="%s"\n' "$root"
        printf 'VERSION="%s"\n' "$version"
        printf 'DATE="%s"\n' "$(date)"
        printf 'TYPE="%s"\n' "$type"
    } >"$root/etc/ossec-init.conf.made"
    put "$root/etc/ossec-init.conf.made" etc/ossec-init.conf 0640 root:ossec
    if [ -z "$stage" ]; then
        cp "$root/etc/ossec-init.conf.made" "$init_conf.new"
        chmod 0600 "$init_conf.new"
        mv -f "$init_conf.new" "$init_conf"
    fi
    rm -f "$root/etc/ossec-init.conf.made"
}

# ---- the service -------------------------------------------------------------------------------------------

systemd_runs() {
    [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1
}

unit_is_ours() {
    [ -f "$unit_dir/ossec-hids.service" ] && grep -qF "ExecStart=$dir/bin/" "$unit_dir/ossec-hids.service"
}

put_service() {
    if systemd_runs || [ -d "$unit_dir" ]; then
        mkdir -p "$unit_dir"
        service_file "$here/etc/systemd/ossec-hids.service" "$unit_dir/ossec-hids.service" 0644
        if [ "$type" = server ]; then
            service_file "$here/etc/systemd/ossec-authd.service" "$unit_dir/ossec-authd.service" 0644
        fi
        if systemd_runs && [ "$unit_dir" = /etc/systemd/system ]; then
            systemctl daemon-reload
            systemctl -q enable ossec-hids.service
        fi
    elif [ -d "$init_dir" ]; then
        service_file "$here/etc/systemd/ossec-hids.init" "$init_dir/ossec-hids" 0755
        if [ "$init_dir" = /etc/init.d ]; then
            update-rc.d ossec-hids defaults >/dev/null 2>&1 || chkconfig --add ossec-hids >/dev/null 2>&1 ||
                rc-update add ossec-hids default >/dev/null 2>&1 || say "Note: $init_dir/ossec-hids is not yet called at boot."
        fi
    else
        say "Note: neither systemd nor $init_dir is here: nothing starts the suite at boot."
    fi
}

service_file() {
    sed "s|@ROOT@|$dir|g" "$1" >"$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
}

finish() {
    if [ "$type" = agent ] && [ ! -s "$dir/etc/client.keys" ]; then
        say ""
        say "Oxsec $version is installed in $dir. It has no key yet, and is not started. Next:"
        say "  where the manager runs ossec-authd: $dir/bin/agent-auth -m MANAGER --fingerprint sha256:... (authd logs it)"
        say "  else, on the manager  manage_agents: add this host, and extract its key"
        say "  on this host    import the key into $dir/etc/client.keys (manage_agents -i KEY), then"
        say "                  $dir/bin/ossec-control start"
        return
    fi
    if [ -n "$start" ] || [ -n "$was_running" ]; then
        if systemd_runs && [ "$unit_dir" = /etc/systemd/system ]; then
            systemctl start ossec-hids.service || die "installed in $dir, but the start failed: systemctl status ossec-hids"
        else
            "$dir/bin/ossec-control" start || die "installed in $dir, but the start failed: the reason is above"
        fi
    fi
    say ""
    say "Oxsec $version is installed in $dir."
    say "  control        $dir/bin/ossec-control start|stop|restart|reload|status"
    say "  alerts         $dir/logs/alerts/alerts.log"
    say "  configuration  $dir/etc/ossec.conf"
}

# ---- other ways to call it ---------------------------------------------------------------------------------

# The same layout for demo, tests and packages: no root rights, no users, nothing outside the folder.
stage_root() {
    : "${type:=local}"
    [ "$type" != agent ] || check_manager
    mkdir -p "$stage"
    stage=$(CDPATH='' cd -- "$stage" && pwd -P)
    build_programs
    root=$stage
    each_folder
    put_files
    put_configuration
    write_init_conf
    say "Staged in $stage."
}

remove() {
    : "${dir:=$(previous_dir)}"
    check_dir
    [ -f "$dir/etc/ossec-init.conf" ] && grep -qxF "DIRECTORY=\"$dir\"" "$dir/etc/ossec-init.conf" ||
        die "$dir does not look like an install root of ours: $dir/etc/ossec-init.conf does not name it"
    [ ! -x "$dir/bin/ossec-control" ] || stop_suite
    if unit_is_ours; then
        ! systemd_runs || systemctl -q disable ossec-hids.service 2>/dev/null || true
        ! systemd_runs || systemctl -q disable --now ossec-authd.service 2>/dev/null || true
        rm -f "$unit_dir/ossec-hids.service" "$unit_dir/ossec-authd.service"
        ! systemd_runs || systemctl daemon-reload
    fi
    if [ -f "$init_dir/ossec-hids" ] && grep -qF "control=$dir/bin/" "$init_dir/ossec-hids"; then
        rm -f "$init_dir/ossec-hids"
        update-rc.d ossec-hids remove >/dev/null 2>&1 || chkconfig --del ossec-hids >/dev/null 2>&1 || true
    fi
    if grep -qxF "DIRECTORY=\"$dir\"" "$init_conf" 2>/dev/null; then
        rm -f "$init_conf"
    fi
    if [ -n "$purge" ]; then
        rm -rf "$dir"
        for user in ossec ossecm ossecr; do
            userdel "$user" 2>/dev/null || deluser "$user" 2>/dev/null || true
        done
        groupdel ossec 2>/dev/null || delgroup ossec 2>/dev/null || true
        say "Oxsec is removed from $dir, with all of its data."
    else
        for program in $(programs); do
            rm -f "$dir/bin/$program"
        done
        rm -f "$dir/bin/manage_agents"
        for script in "$here"/etc/active-response/*.sh; do
            rm -f "$dir/active-response/bin/$(basename "$script")"
        done
        rm -f "$dir"/var/run/*
        say "The programs are removed. Configuration, rules, logs and state stay in $dir; --purge removes them too."
    fi
}

main "$@"
