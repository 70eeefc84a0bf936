#!/bin/sh
# An action_script: leaves a note of each client that something was found of, for root to
# block it.  smtp-gated(8), ACTION SCRIPT, says how this is run; it cannot block anybody
# itself, for it has no privilege and sudo gives it none.
#
# action_script = "/etc/smtp-gated/action.sh"		(chmod 755, and root's)
#
# What root does with the notes: two units and a set of nftables, whose timeout takes the
# block back.
#
#	/etc/systemd/system/smtp-gated-block.path:
#	    [Path]
#	    DirectoryNotEmpty=/run/smtp-gated/block
#	    [Install]
#	    WantedBy=multi-user.target
#
#	/etc/systemd/system/smtp-gated-block.service:
#	    [Service]
#	    Type=oneshot
#	    ExecStart=/usr/local/sbin/smtp-gated-block
#
#	/usr/local/sbin/smtp-gated-block:
#	    #!/bin/sh
#	    cd /run/smtp-gated/block || exit
#	    [ "$(pwd -P)" = /run/smtp-gated/block ] || exit	# it could be a link
#	    for note in *; do
#	        case $note in
#	        *[!0-9a-f.:]*) ;;
#	        *:*) nft add element inet filter blocked6 "{ $note timeout 1h }" ;;
#	        *) nft add element inet filter blocked4 "{ $note timeout 1h }" ;;
#	        esac
#	        rm -f -- "$note"
#	    done
set -eu
notes=/run/smtp-gated/block

# Keep the quotes: much of the environment is what a stranger wrote.
case $SOURCE_IP in
'' | *[!0-9a-f.:]*)
	echo "no address to block: $SOURCE_IP"
	exit 1
	;;
esac
mkdir -p "$notes"
printf '%s found=%s name=%s helo=%s from=%s\n' \
	"$(date +%FT%T%z)" "$FOUND" "$VIRUS_NAME" "$HELO" "$MAIL_FROM" >"$notes/.$$"
mv "$notes/.$$" "$notes/$SOURCE_IP"
