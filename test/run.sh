#!/bin/sh
# Tests everything: installs what that needs (Debian, root or sudo), builds with both
# compilers and all sanitizers, checks the style, and ends with one run of ctest.
#
#	sh test/run.sh			all of it; exit 0 if nothing failed
#	sh test/run.sh -R real -V	what "ctest -R real -V" chooses of it
#
# What can only run as root, or where something is installed, is skipped elsewhere; the
# skips are counted and named before the closing lines.
set -eu
cd "$(dirname "$0")/.."
top=$(pwd)
started=$(date +%s)
jobs=$(nproc)
logs=$top/build/logs

say() { printf '%s\n' "$*"; }
step() { printf '[%3d s] %s\n' $(($(date +%s) - started)) "$*"; }

# Runs a build step silently; when it fails, shows what it said and ends.
quietly()
{
	name=$1
	shift
	if ! timeout 1200 "$@" >"$logs/$name.log" 2>&1 </dev/null; then
		cat "$logs/$name.log"
		say "run.sh: $name: \"$*\" failed, see above" >&2
		exit 1
	fi
}

step "packages"
sh test/install.sh test
mkdir -p "$logs"

# To configure is a chain of small steps: side by side.
step "configure: release, asan, tsan, fuzz, clang"
configuring=
for preset in release asan tsan fuzz; do
	quietly "$preset.configure" cmake --preset $preset -DBUILD_TESTING=ON &
	configuring="$configuring $!"
done
quietly clang.configure cmake -S . -B build/clang -DCMAKE_C_COMPILER=clang \
	-DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON &
for process in $configuring $!; do
	wait "$process"
done
for preset in release asan tsan fuzz; do
	step "build: $preset"
	quietly "$preset.build" cmake --build --preset $preset --parallel "$jobs"
done
step "build: clang, optimised, every warning an error"
quietly clang.build cmake --build build/clang --parallel "$jobs"

step "tests, from all builds in one run"
/usr/bin/python3 test/all.py gather build
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=1}"

# Thread and address sanitizers of these compilers want their usual addresses, which
# kernels that randomise much (vm.mmap_rnd_bits above 28) do not leave free.
still=
if setarch "$(uname -m)" -R true 2>/dev/null; then
	still="setarch $(uname -m) -R"
fi
# shellcheck disable=SC2086 # $still is words
exec $still /usr/bin/python3 test/all.py run build "$@"
