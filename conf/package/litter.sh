unload_apparmor()
{
	if [ -w /sys/kernel/security/apparmor/.remove ]; then
		printf smtp-gated >/sys/kernel/security/apparmor/.remove 2>/dev/null || true
	fi
}

# What we made: pidfile, state, and the messages that were kept.
remove_litter()
{
	rm -rf /run/smtp-gated /var/spool/smtp-gated /var/lib/smtp-gated
	rm -f /etc/apparmor.d/disable/usr.sbin.smtp-gated \
		/etc/apparmor.d/force-complain/usr.sbin.smtp-gated \
		/var/cache/apparmor/*/usr.sbin.smtp-gated
	for link in /etc/systemd/system/*.wants/smtp-gated.service \
		/etc/systemd/system/*.wants/smtp-gated-helper.* \
		/etc/systemd/system/*.wants/smtp-gated.socket \
		/etc/systemd/system/*.wants/smtp-gated@*.service \
		/etc/systemd/system/*.wants/smtp-gated@*.socket; do
		[ ! -L "$link" ] || rm -f "$link"
	done
}
