#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_run - the runner counts right: passes, failures, skips, hangs
set -u
failed=0
cd "$TEST_TMP" || exit 1
run=$OLDPWD/tests/run

fail() {
	echo "FAIL: $*"
	failed=1
}

program() { # program NAME: its body is stdin
	{ echo '#!/bin/bash'; cat; } >"$1" && chmod +x "$1"
}

# ends STATUS LAST_LINE PROGRAM...
ends() {
	local want_status=$1 want=$2 out status
	shift 2
	out=$(JOBS=2 TEST_TIMEOUT_S=2 TMPDIR=$TEST_TMP "$run" "$TEST_TMP/build" "$@")
	status=$?
	[ "$status" = "$want_status" ] || fail "$*: status $status: $out"
	[ "${out##*$'\n'}" = "$want" ] || fail "$*: '${out##*$'\n'}', not '$want'"
	last=$out
}

program good <<<'exit 0'
program bad <<<'echo the reason; exit 3'
program skips <<<'echo "skip: no moon tonight"; exit 77'
program hangs <<<'sleep 60'
program dies <<<'kill -SEGV $$'
program environment <<'END'
[ "$(ls -A "$TEST_TMP")" = "" ] && touch "$TEST_TMP/x" && ! read -r line
END
program cmocka_mixed <<'END'
echo '[==========] Running 6 test(s).'
echo '[       OK ] test_a'
echo '[  PASSED  ] 3 test(s).'
echo '[  SKIPPED ] 1 test(s), listed below:'
echo '[  SKIPPED ] test_b'
echo '[  FAILED  ] 2 test(s), listed below:'
echo '[  FAILED  ] test_c'
exit 2
END
program cmocka_groups <<'END'
echo '[  PASSED  ] 3 test(s).'
echo '[  PASSED  ] 4 test(s).'
END
program cmocka_forgets <<'END'
echo '[  PASSED  ] 3 test(s).'
echo '[  FAILED  ] 1 test(s), listed below:'
exit 0
END
program cmocka_crashes <<'END'
echo '[       OK ] test_a'
exit 139
END

ends 0 "1 passed, 0 failed, 0 skipped" ./good
ends 1 "1 passed, 1 failed, 0 skipped" ./good ./bad
grep -q '| the reason' <<<"$last" || fail "the log of a failure is not shown"
ends 0 "0 passed, 0 failed, 1 skipped" ./skips
grep -q 'skip: no moon tonight' <<<"$last" || fail "no reason for a skip"
ends 1 "0 passed, 1 failed, 0 skipped" ./hangs
grep -q 'stopped after 2 s' <<<"$last" || fail "a hang is not called one"
ends 1 "0 passed, 1 failed, 0 skipped" ./dies
ends 0 "1 passed, 0 failed, 0 skipped" ./environment
ends 1 "3 passed, 2 failed, 1 skipped" ./cmocka_mixed
ends 0 "7 passed, 0 failed, 0 skipped" ./cmocka_groups
ends 1 "3 passed, 1 failed, 0 skipped" ./cmocka_forgets
ends 1 "0 passed, 1 failed, 0 skipped" ./cmocka_crashes
ends 1 "0 passed, 1 failed, 0 skipped" ./not-there
ends 1 "11 passed, 4 failed, 2 skipped" ./good ./cmocka_mixed ./cmocka_groups \
	./skips ./bad ./dies
[ "$(ls -d spindle-test.* 2>/dev/null)" = "" ] || fail "the runner left files"
exit $failed
