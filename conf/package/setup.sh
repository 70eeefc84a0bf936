# Where there is no systemd, smtp-gated makes its directories itself.
make_directories()
{
	if command -v systemd-tmpfiles >/dev/null; then
		systemd-tmpfiles --create smtp-gated.conf || true
	fi
}

load_apparmor()
{
	profile=/etc/apparmor.d/usr.sbin.smtp-gated
	if [ -f $profile ] && command -v aa-enabled >/dev/null && aa-enabled --quiet; then
		apparmor_parser -r -T -W $profile || true
	fi
}
