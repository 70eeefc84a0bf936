#!/bin/sh
# Fuzzes for longer than ctest does:   sh test/fuzz/run.sh MINUTES [NAME ...]
# Each target gets that many minutes, one after the other; the inputs found stay in
# build/fuzz/test/fuzz/corpus_NAME.  Ends at the first finding, with its file named.
set -eu
cd "$(dirname "$0")/../.."
minutes=${1:?how many minutes for each target?}
shift
[ $# -gt 0 ] || set -- $(sed -n 's/^gated_fuzzer(\([a-z]*\))$/\1/p' test/fuzz/CMakeLists.txt)

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --parallel "$(nproc)" >/dev/null
cd build/fuzz/test/fuzz
for name in "$@"; do
	dictionary=../../../../test/fuzz/$name.dict
	set -- -max_total_time=$((minutes * 60)) -max_len=20000 -timeout=10 -print_final_stats=1
	[ ! -f "$dictionary" ] || set -- "$@" "-dict=$dictionary"
	echo "== $name"
	./fuzz_"$name" "$@" "corpus_$name" 2>&1 | tail -n 12
done
