#!/bin/sh
# Builds smtp-gated and shows its main job on this machine, without touching its mail:
#
#	sh conf/quickstart.sh		shows, then stays up to be tried; Ctrl-C ends it
#	sh conf/quickstart.sh --once	shows and ends; exit 0 if all was as it should be
#
# Listens on 127.0.0.1 only.  PORT (9199) and SERVER_PORT (9125) choose other ports.
# What is missing is installed by apt-get (as root, or with sudo).  All files but build/
# are in a temporary directory that goes away at the end.
set -eu
cd "$(dirname "$0")/.."

port=${PORT:-9199}
server_port=${SERVER_PORT:-9125}
once=
case ${1-} in
'') ;;
--once) once=yes ;;
*)
	sed -n '2,9s/^# \{0,1\}//p' conf/quickstart.sh >&2
	exit 2
	;;
esac

dir="" gateway="" server="" viewer=""
wrong=0

say() { printf '%s\n' "$*"; }
head1() { printf '\n== %s\n' "$*"; }
indent() { sed 's/^/    /'; }
fail()
{
	say "quickstart: $*" >&2
	exit 1
}

# Ends one process that we started; whoever does not go when told is killed.
end()
{
	[ -n "$1" ] || return 0
	kill "$1" 2>/dev/null || return 0
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.2
	done
	kill -KILL "$1" 2>/dev/null || return 0
}
finish()
{
	status=$?
	trap '' INT HUP TERM
	for pid in $viewer $gateway $server; do
		end "$pid"
	done
	wait
	[ -z "$dir" ] || rm -rf "$dir"
	exit $status
}
trap finish EXIT
trap 'say " stopped"; exit 130' INT
trap 'exit 143' HUP TERM

# Does anything on this machine listen on this port?  (State 0A is LISTEN.)
listening()
{
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		grep -Eqi "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:0000 0A"
}
# wait_for SECONDS COMMAND...: true as soon as the command is.
wait_for()
{
	tries=$(($1 * 10))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}
# check WHAT COMMAND...: is what was shown what should be?
check()
{
	what=$1
	shift
	if wait_for 5 "$@"; then
		say "    ok: $what"
	else
		say "    WRONG: $what: not so"
		wrong=$((wrong + 1))
	fi
}
server_says() { grep -q "$1" "$dir/server.log"; }
gateway_says() { grep -q "$1" "$dir/gateway.log"; }
client_says() { grep -q "$1" "$dir/client.log"; }

# What the two others said since the last call of `mark`.
mark()
{
	server_from=$(($(wc -l <"$dir/server.log") + 1))
	gateway_from=$(($(wc -l <"$dir/gateway.log") + 1))
}
both_sides()
{
	sleep 0.3	# last words: the sessions end
	say "  the client (swaks):"
	sed -n '/^ -> MAIL/,$p' "$dir/client.log" | indent
	say "  the server:"
	tail -n +"$server_from" "$dir/server.log" | indent
	say "  the gateway's log:"
	tail -n +"$gateway_from" "$dir/gateway.log" | indent
}

for busy in "$port PORT" "$server_port SERVER_PORT"; do
	if listening "${busy% *}"; then
		fail "port ${busy% *} is in use on this machine;" \
			"free it, or choose another: ${busy#* }=... sh conf/quickstart.sh"
	fi
done

head1 "What is needed"
sh test/install.sh show
say "all there"

head1 "Build: cmake --preset release && cmake --build --preset release"
dir=$(mktemp -d "${TMPDIR:-/tmp}/smtp-gated.XXXXXX")
# Tests need more packages: a first build is without them, one that has them keeps them.
tests=
[ -e build/release/CMakeCache.txt ] || tests=-DBUILD_TESTING=OFF
if ! { cmake --preset release $tests &&
	cmake --build --preset release --target smtp-gated --parallel "$(nproc)"; } \
	>"$dir/build.log" 2>&1; then
	cat "$dir/build.log" >&2
	fail "the build failed, see above"
fi
build/release/smtp-gated -v

head1 "Start: a mail server on port $server_port, the gateway in front of it on port $port"
# Private, but for the sample, which another user (not under sudo) may want to send.
chmod 711 "$dir"
umask 077
mkdir "$dir/spool" "$dir/scan" "$dir/signatures"
: >"$dir/server.log"
: >"$dir/gateway.log"

# The test "virus" of eicar.org is harmless; scanners agree to find it.  Its text is
# put together here so that this file itself is not found.
/usr/bin/python3 - "$dir" <<'PYTHON'
import sys, zipfile
eicar = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}" "$EICAR-STANDARD-" "ANTIVIRUS-TEST-FILE!$H+H*")
with zipfile.ZipFile(sys.argv[1] + "/eicar.zip", "w", zipfile.ZIP_DEFLATED) as file:
	file.writestr("readme.com", eicar)
with open(sys.argv[1] + "/signatures/quickstart.ndb", "w") as file:
	file.write("Eicar-Test-Signature:0:*:" + eicar.encode().hex() + "\n")
PYTHON
chmod 644 "$dir/eicar.zip"

cat >"$dir/smtp-gated.conf" <<CONF
bind_address = {"127.0.0.1"}
port = $port
mode = fixed
fixed_server = "127.0.0.1"
fixed_server_port = $server_port
pidfile = ""
allow_root = yes
max_connections = 100
spool_path = "$dir/spool"
# Else who sent a virus would be locked out for an hour.
lock_duration = 0
scan_path = "$dir/scan"
signature_path = "$dir/signatures"
CONF
indent <"$dir/smtp-gated.conf"

/usr/bin/python3 test/sink.py "127.0.0.1:$server_port" >"$dir/server.log" 2>&1 &
server=$!
build/release/smtp-gated -f "$dir/smtp-gated.conf" >"$dir/gateway.log" 2>&1 &
gateway=$!
server_up() { listening "$server_port" || ! kill -0 "$server" 2>/dev/null; }
gateway_up() { listening "$port" || ! kill -0 "$gateway" 2>/dev/null; }
if ! wait_for 20 server_up || ! kill -0 "$server" 2>/dev/null; then
	indent <"$dir/server.log" >&2
	fail "the mail server did not start"
fi
if ! wait_for 60 gateway_up || ! kill -0 "$gateway" 2>/dev/null; then
	indent <"$dir/gateway.log" >&2
	fail "the gateway did not start, see above"
fi
say "  the gateway's log:"
indent <"$dir/gateway.log"

# send SUBJECT SWAKS-OPTION...: by swaks, a mail client for the command line.
send()
{
	subject=$1
	shift
	timeout 60 swaks --server "127.0.0.1:$port" --timeout 30 --suppress-data \
		--helo client.example --from ann@example.com --to bob@example.com \
		--header "Subject: $subject" "$@" >"$dir/client.log" 2>&1 </dev/null
}

head1 "A clean mail passes"
mark
send "lunch" --body "At noon?" && sent=0 || sent=$?
check "the client has the server's own 250" client_says '^<-  250 .*message 1 taken'
check "the server has a complete message" server_says 'COMPLETE.*lunch'
check "the gateway judged it clean" gateway_says '^verdict .*clean'
check "swaks ended with success" test $sent -eq 0
both_sides

head1 "A mail with the EICAR test file, in a zip, in base64, is refused"
mark
send "invoice" --body "See the attachment." \
	--attach-type application/zip --attach-name invoice.zip \
	--attach "@$dir/eicar.zip" && sent=0 || sent=$?
check "the client was told 550 and why" client_says '^<\*\* 550 .*Eicar-Test-Signature'
check "the server never saw the end of it" server_says 'BROKEN OFF'
not_delivered() { ! server_says 'COMPLETE.*invoice'; }
check "the server delivers nothing" not_delivered
check "the gateway's log names the virus" gateway_says '^found .*Eicar-Test-Signature'
both_sides

head1 "Result"
if [ $wrong -gt 0 ]; then
	say "$wrong of the above are not as they should be."
	[ -n "$once" ] || say "Ending."
	exit 1
fi
say "All as it should be."
[ -z "$once" ] || exit 0

cat <<TEXT

== Try it yourself: the gateway is up on 127.0.0.1:$port, in another terminal say
    swaks --server 127.0.0.1:$port --to you@example.com
    swaks --server 127.0.0.1:$port --to you@example.com --attach @$dir/eicar.zip
(or point any mail client at it).  Its configuration: $dir/smtp-gated.conf
Ctrl-C stops it and removes everything.  What server and gateway say from now on:
TEXT
tail -q -n 0 -F "$dir/gateway.log" "$dir/server.log" 2>/dev/null &
viewer=$!
wait "$gateway" || true
fail "the gateway has ended by itself; its last words: $(tail -n 3 "$dir/gateway.log")"
