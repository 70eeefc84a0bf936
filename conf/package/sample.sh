#!/bin/sh
# Makes the configuration file that is installed:	sample.sh PROGRAM FILE
#
# Everything is commented out, so that it says what the program does without it, but for
# the user to become.
set -eu
"$1" -t >"$2.raw"
sed -e 's/^[a-z]/;&/' \
	-e 's/^;set_user = ""$/set_user = "smtp-gated"/' \
	-e 's/^# Configuration of smtp-gated [0-9.]*,/# Configuration of smtp-gated,/' \
	-e '/^# What is marked \[restart\]/a\
#\
# Lines that begin with ; show what is so without them.  To change one, remove\
# its ; and check the file: smtp-gated --check FILE.  Then reload the service.' \
	<"$2.raw" >"$2.new"
rm "$2.raw"
grep -q '^set_user = "smtp-gated"$' "$2.new"
mv "$2.new" "$2"
