running_units()
{
	systemctl list-units --plain --no-legend --state=active,activating,reloading \
		'smtp-gated.service' 'smtp-gated@*.service' 2>/dev/null | cut -d ' ' -f 1
}

# Would the process do something on SIGUSR2, other than dying of it?  (Bit 12 of the signals
# that it catches; a mask has 16 digits, the lower eight will do.)
knows_usr2()
{
	mask=$(sed -n 's/^SigCgt:[[:space:]]*........//p' "/proc/$1/status" 2>/dev/null)
	[ -n "$mask" ] && [ $((0x$mask & 0x800)) -ne 0 ]
}

# The helper has no sessions: its sockets are kept while it starts again.
#
# The program is a new one: what runs goes on with it, and no session is lost.  The old
# process starts the new one and hands it its listening sockets; the service manager is told;
# the old one serves its sessions to their end.  Only a process of a version that cannot do
# that is restarted.
hand_over()
{
	[ -d /run/systemd/system ] || return 0
	systemctl try-restart smtp-gated-helper.service || true
	for unit in $(running_units); do
		pid=$(systemctl show --property=MainPID --value "$unit")
		if ! knows_usr2 "$pid"; then
			systemctl try-restart "$unit" ||
				echo "smtp-gated: $unit could not be restarted, see journalctl -u $unit" >&2
			continue
		fi
		# Its last argument is its configuration.
		file=$(tr '\0' '\n' <"/proc/$pid/cmdline" | tail -n 1)
		smtp-gated --upgrade "$file" ||
			echo "smtp-gated: $unit goes on with the old program: restart it, when you" \
				"have seen to what was said above, or journalctl -u $unit says" >&2
	done
}
