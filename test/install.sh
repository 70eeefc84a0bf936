#!/bin/sh
# Installs the Debian packages that this tree needs, and only those that are missing.
#
#	sh test/install.sh build	to build the program
#	sh test/install.sh show		to build it and to show it (conf/quickstart.sh)
#	sh test/install.sh package	to build it and to make packages of it (cpack)
#	sh test/install.sh test		to test it (test/run.sh)
#	sh test/install.sh LIST -n	names what is missing, installs nothing
#
# Needs root, or sudo.  No service is started by what is installed here.  Mail servers that
# Debian does not install beside Postfix are unpacked below /var/cache/smtp-gated-test, for
# the tests alone.
set -eu

build='cmake gcc libc6-dev make pkg-config
	libc-ares-dev libcap-dev libclamav-dev libconfuse-dev libcurl4-openssl-dev libevent-dev
	libhiredis-dev libjansson-dev liblmdb-dev libnetfilter-conntrack-dev libnftables-dev libpcre2-dev
	libssl-dev'
show="$build
	python3 swaks"
# file, dpkg-dev: what a .deb depends on.
package="$build
	dpkg-dev file rpm"
# libnet-ssleay-perl: TLS for swaks.  locales: the system's errors in another language.
# sasl2-bin, libsasl2-modules: AUTH for Postfix.
# systemd-container: a systemd to try the units under.
# clamav-daemon, c-icap, libc-icap-mod-virus-scan: scanners to ask.
# gpg-agent: without it spamassassin cannot be set up where there is gpg (lintian brings that).
# libdb5.3, libgnutls-dane0, libidn12, libnsl2: for the servers that are unpacked.
test="$show $package
	adduser apparmor bash-completion c-icap clamav-daemon clang clang-format clang-tidy
	conntrack cpio dovecot-core dovecot-lmtpd git gpg-agent haproxy iproute2
	libc-icap-mod-virus-scan libclang-rt-14-dev libcmocka-dev libdb5.3 libgnutls-dane0
	libidn12 libnet-ssleay-perl libnsl2 libsasl2-modules libyaml-dev lintian locales mandoc
	nftables node-nodemailer nodejs opendkim openssl postfix procps redis-server rpm2cpio
	rspamd sasl2-bin shellcheck spamassassin spamd systemd-container unbound util-linux zip"
# test/real/unpacked.py knows this place.
unpacked=/var/cache/smtp-gated-test
unpack=

case ${1-} in
build) wanted=$build ;;
show) wanted=$show ;;
package) wanted=$package ;;
test)
	wanted=$test
	unpack='exim4-daemon-light opensmtpd'
	;;
*)
	echo "usage: sh test/install.sh build|show|package|test [-n]" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "install.sh: no apt-get here.  Install what corresponds to:" $wanted >&2
	echo "install.sh: going on as if all of that were there" >&2
	exit 0
fi

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
	[ "$state" = installed ] || missing="$missing $package"
done
absent=
for package in $unpack; do
	[ -d "$unpacked/$package" ] || absent="$absent $package"
done
if [ "${2-}" = -n ]; then
	echo "missing:${missing:- nothing}"
	[ -z "$absent" ] || echo "not unpacked in $unpacked:$absent"
	exit 0
fi
[ -n "$missing$absent" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "install.sh: these packages are missing:$missing$absent" >&2
		echo "install.sh: become root and start again, or install them first" >&2
		exit 1
	fi
	sudo=sudo
fi

log=$(mktemp)
policy=
finish()
{
	[ -z "$policy" ] || $sudo rm -f "$policy"
	rm -f "$log"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

# Postfix, haproxy and clamd come with services: this file keeps them from being started.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
fi

# Runs apt-get silently; when it fails, shows what it said.
quietly()
{
	if ! $sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 \
		"$@" >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		echo "install.sh: apt-get $1 failed, see above" >&2
		exit 1
	fi
}

# Fetches a package and unpacks it, whole or not at all; nothing in it is set-user-id.
unpack()
{
	temporary=$unpacked/$1.new
	$sudo rm -rf "$temporary"
	$sudo mkdir -p "$temporary/root"
	if ! (cd "$temporary" && $sudo apt-get -qq download "$1" &&
		$sudo dpkg-deb -x ./*.deb root) >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		$sudo rm -rf "$temporary"
		echo "install.sh: $1 cannot be had, see above: tests that want it are skipped" >&2
		return
	fi
	$sudo chmod -R a-s,a+rX "$temporary/root"
	$sudo mv "$temporary/root" "$unpacked/$1"
	$sudo rm -rf "$temporary"
}

if [ -n "$missing" ]; then
	echo "Installing with apt-get:$missing"
	quietly update
	quietly install $missing
fi
[ -n "$absent" ] || exit 0
# Without a network the tests that want these are skipped, the rest is as it was.
[ -n "$missing" ] || (quietly update) || :
echo "Unpacking in $unpacked:$absent"
for package in $absent; do
	unpack "$package"
done
