#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_tidy - every rule of tools/tidy catches what it is there to catch
#
# A small tree that keeps the rules is damaged in one place at a time; the
# damage must be named by the rule that forbids it, and by no other.
set -u
tidy=$PWD/tools/tidy
tree=$TEST_TMP/tree
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

commit() {
	git add -A && git commit -q -m "$1"
}

header() { # header FOLDER NAME [INCLUDE]
	local q='"'

	cat <<END
/* SPDX-License-Identifier: BSD-2-Clause */
/* $2 - one of the files of the test tree */
#ifndef ${1^^}_${2^^}_H
#define ${1^^}_${2^^}_H

${3:+#include $q$3$q

}int $2(void);

#endif
END
}

source_of() { # source_of FOLDER NAME
	cat <<END
/* SPDX-License-Identifier: BSD-2-Clause */
#include "$1/$2.h"

/* A string is no comment: "http://". */
int
$2(void)
{
	return "//"[0] == '"';
}
END
}

mkdir -p "$tree"/{base,driver,vmm,tests} && cp .clang-format "$tree" || exit 1
cd "$tree" || exit 1
git init -q . || exit 1
git config user.name test
git config user.email test@localhost
header base low >base/low.h
source_of base low >base/low.c
header driver mid base/low.h >driver/mid.h
source_of driver mid >driver/mid.c
header vmm top >vmm/top.h
source_of vmm top >vmm/top.c
header vmm top_int >vmm/top_int.h
commit "base: begin"
out=$("$tidy" --fast .) || fail "the sound tree is not clean: $out"

# catches RULE WHAT...: the change that stdin makes is named by RULE alone.
catches() {
	local rule=$1 what=$2 out rules
	shift 2
	bash -eu -s || fail "cannot damage the tree: $what"
	out=$("$tidy" "$@" . 2>&1) && fail "$what: not noticed"
	rules=$(sed -n 's/^[^ :]*:[0-9]*: \([a-z]*\): .*/\1/p' <<<"$out" |
		sort -u | tr '\n' ' ')
	[ "$rules" = "$rule " ] || fail "$what: named '$rules', not '$rule': $out"
	git reset -q --hard sound && git clean -fdq
}
git tag sound

catches layer "an include that points up" --fast <<'END'
sed -i 's|^#include.*|&\n#include "driver/mid.h"|' base/low.c
END
catches layer "driver includes vmm" --fast <<'END'
sed -i 's|^#include.*|&\n#include "vmm/top.h"|' driver/mid.c
END
catches layer "another folder's private header" --fast <<'END'
mkdir cli
printf '%s\n%s\n' '/* SPDX-License-Identifier: BSD-2-Clause */' \
	'#include "vmm/top_int.h"' >cli/x.c
END
catches confined "KVM outside the KVM driver" --fast <<'END'
sed -i 's|^#include.*|&\n#include <linux/kvm.h>|' driver/mid.c
END
catches confined "JSON in a device" --fast <<'END'
sed -i 's|^#include.*|&\n#include <jansson.h>|' vmm/top.c
END
catches confined "the disassembler in the machine" --fast <<'END'
sed -i 's|^#include.*|&\n#include <Zydis/Zydis.h>|' vmm/top.c
END
catches confined "io_uring in a chip" --fast <<'END'
sed -i 's|^#include.*|&\n# include <liburing.h>|' vmm/top.c
END
catches include "an include without its folder" --fast <<'END'
sed -i 's|^#include.*|&\n#include "top_int.h"|' vmm/top.c
END
catches include "an include of nothing" --fast <<'END'
sed -i 's|^#include.*|&\n#include "vmm/gone.h"|' vmm/top.c
END
catches include "its own header second" --fast <<'END'
sed -i 's|^#include.*|#include <stdio.h>\n&|' vmm/top.c
END
catches unique "two files of one name" --fast <<'END'
grep -v include base/low.c >vmm/low.c
END
catches spdx "no licence tag" --fast <<'END'
sed -i 1d vmm/top.c
END
catches spdx "a script without a tag" --fast <<'END'
mkdir tests
printf '#!/bin/sh\nexit 0\n' >tests/x.sh
END
catches comment "a // comment" --fast <<'END'
echo '// x' >>vmm/top.c
END
catches typedef "a typedef of a struct" --fast <<'END'
echo 'typedef struct low *low_ptr;' >>vmm/top.c
END
catches alloca "alloca" --fast <<'END'
echo 'void *x(void) { return alloca(3); }' >>vmm/top.c
END
catches ndebug "assertions made optional" --fast <<'END'
printf '#ifdef NDEBUG\n#endif\n' >>vmm/top.c
END
catches header "a header that does not say what it is" --fast <<'END'
sed -i 2d vmm/top.h
END
catches header "a guard of another file" --fast <<'END'
sed -i 's/TOP_H/POT_H/' vmm/top.h
END
catches test "a case that is not called test_" --fast <<'END'
mkdir tests
sed 's/^int/int y = cmocka_unit_test(works);\n&/; s/"vmm.*"/<a.h>/' \
	vmm/top.c >tests/test_top.c
END
catches text "white space at a line's end" --fast <<'END'
echo 'int x; ' >>vmm/top.c
END
catches text "no newline at the end" --fast <<'END'
printf 'int x;' >>vmm/top.c
END
catches text "a note to oneself" --fast <<'END'
echo "/* TO""DO: later */" >>vmm/top.c
END
catches text "a path of one machine" --fast <<'END'
echo "cd /wo""rk/main" >notes.md
END
catches text "a registry's host name" --fast <<'END'
echo "from https://pypi"".org/x" >notes.md
END
catches commit "a subject that ends in a full stop" --fast <<'END'
git commit -q --allow-empty -m "vmm: do a thing."
END
catches commit "a subject of a folder that is not there" --fast <<'END'
git commit -q --allow-empty -m "wmm: do a thing"
END
catches commit "a subject without a folder" --fast <<'END'
git commit -q --allow-empty -m "Fix stuff"
END
catches commit "a subject of 73 columns" --fast <<'END'
git commit -q --allow-empty -m "vmm: $(printf 'a%.0s' {1..68})"
END
catches lone "a header that needs another first" --no-format <<'END'
sed -i 's/^int top_int.*/int top_int(u64 x);/' vmm/top_int.h
END
if command -v clang-format >/dev/null; then
	catches format "two statements on a line" <<'END'
sed -i 's/^\treturn .*/\tif (1) return 3; return 2;/' vmm/top.c
END
else
	echo "skip: clang-format is not installed: the format rule was not tried"
fi

# Long files and functions are listed without failing.
{
	sed '$d' vmm/top.c
	for i in {1..1000}; do echo "	top();"; done
	echo "}"
} >vmm/t && mv vmm/t vmm/top.c
out=$("$tidy" --fast .) || fail "a long function fails: $out"
grep -q '^vmm/top.c: 10.. lines$' <<<"$out" || fail "the long file is not listed"
grep -q '^vmm/top.c:[0-9]*: top() has 10.. lines$' <<<"$out" ||
	fail "the long function is not listed: $out"
exit $failed
