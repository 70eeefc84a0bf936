#!/bin/sh
# Holds random sessions for longer than ctest does:   sh test/dialog/storm.sh MINUTES
# Begins at a seed that it prints; ends at the first fault, with its seed and transcript.
set -eu
cd "$(dirname "$0")/../.."
minutes=${1:?how many minutes?}

cmake --preset asan >/dev/null
cmake --build --preset asan --parallel "$(nproc)" --target smtp-gated >/dev/null
exec /usr/bin/python3 -B test/dialog/storm.py --minutes "$minutes" build/asan/smtp-gated
