#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_deps - tools/deps installs what is missing, or says what to type
#
# Installing for real is not a test's business: dpkg-query, apt-get, id and
# sudo are stand-ins in a directory of their own, and what was asked of
# apt-get is written down.
set -u
failed=0
bin=$TEST_TMP/bin
asked=$TEST_TMP/asked
mkdir -p "$bin"

fail() {
	echo "FAIL: $*"
	failed=1
}

stand_in() { # stand_in NAME: its body is stdin
	{ echo '#!/bin/sh'; cat; } >"$bin/$1" && chmod +x "$bin/$1"
}

# deps ARGUMENT...: status and output of tools/deps among the stand-ins.
deps() {
	: >"$asked"
	out=$(PATH=$bin:$PATH tools/deps "$@" 2>&1)
	status=$?
}

is() { # is WHAT GOT WANT
	[ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}

stand_in dpkg-query <<<'eval pkg=\$$#; [ "$pkg" != libzydis-dev ] && echo installed'
stand_in id <<<'echo 1000'
stand_in sudo <<<'exit 1'
stand_in apt-get <<<"echo \"\$@\" >>$asked"

deps
is "a missing package without rights: status" "$status" 1
is "a missing package without rights: the line" "${out##*$'\n'}" \
	"sudo apt-get install -y --no-install-recommends libzydis-dev"
is "a missing package without rights: apt-get" "$(cat "$asked")" ""

stand_in id <<<'echo 0'
deps
is "as root: status" "$status" 0
grep -q 'install -y --no-install-recommends libzydis-dev$' "$asked" ||
	fail "as root: asked '$(cat "$asked")'"

# An empty package list: the first install fails, update, then again.
stand_in apt-get <<END
echo "\$@" >>$asked
case "\$*" in *update*) touch $TEST_TMP/updated ;; esac
[ -e $TEST_TMP/updated ] || { echo 'E: Unable to locate package'; exit 100; }
END
deps
is "empty lists: status" "$status" 0
is "empty lists: steps" "$(grep -oE 'install|update' "$asked" | uniq | tr '\n' ' ')" \
	"install update install "

stand_in apt-get <<<"echo 'E: no network'; exit 100"
deps
is "no network: status" "$status" 1
grep -q 'E: no network' <<<"$out" || fail "no network: apt's words are lost: $out"
grep -q 'apt-get install -y .* libzydis-dev$' <<<"$out" ||
	fail "no network: the line is missing: $out"

stand_in id <<<'echo 1000'
stand_in sudo <<<'while [ "$1" = -n ]; do shift; done; "$@"'
stand_in apt-get <<<"echo \"\$@\" >>$asked"
deps
is "through sudo: status" "$status" 0
grep -q 'libzydis-dev$' "$asked" || fail "through sudo: asked '$(cat "$asked")'"

stand_in dpkg-query <<<'echo installed'
deps
is "nothing missing" "$status $out$(cat "$asked")" "0 "
deps build tidy bench
is "nothing missing in any group" "$status $out$(cat "$asked")" "0 "

deps nonsense
is "an unknown group: status" "$status" 1
is "an unknown group: words" "$out" \
	"deps: no group 'nonsense': build, tidy, bench or all"

deps --list bench
is "the list of a group" "$out" "qemu-system-x86"
exit $failed
