#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_docs - what the documents name is there: files, functions, targets
set -u
failed=0
docs=(README.md ARCHITECTURE.md CONTRIBUTING.md SECURITY.md docs/*.md)

fail() {
	echo "FAIL: $*"
	failed=1
}

# Files: link targets, and quoted or indented words with a slash and an
# extension. What is built, a pattern or the host's own is not ours to find.
names() {
	sed -n 's/](\([^)#:]*\))/\n@\1\n/gp' "$1" | sed -n 's/^@//p'
	sed 's/<[^>]*>[^ `]*//g' "$1" |
		grep -oE '[A-Za-z0-9_.*/-]+/[A-Za-z0-9_.*-]+\.(c|h|S|md|sh|mk|1|tsv)\b'
}
checked=0
for doc in "${docs[@]}"; do
	for name in $(names "$doc" | sort -u); do
		case $name in build/* | */build/* | *\** | /*) continue ;; esac
		[ -e "$name" ] || [ -e "${doc%/*}/$name" ] ||
			fail "$doc: there is no '$name'"
		checked=$((checked + 1))
	done
done
[ $checked -gt 20 ] || fail "only $checked file names were found to check"

# Functions: "file.c: name()" is a definition in that file, or a row of one of
# its tables.
checked=0
while IFS=: read -r doc file function; do
	function=${function# } function=${function%()}
	grep -qE "(^$function\(|[=,{( ]$function[,}) ])" "$file" 2>/dev/null ||
		fail "$doc: '$file' has no $function()"
	checked=$((checked + 1))
done < <(grep -HoE '[a-z0-9_/]+\.[ch]: [a-z0-9_]+\(\)' "${docs[@]}")
[ $checked -gt 5 ] || fail "only $checked functions were found to check"

# Targets of make.
targets=" $(env -u MAKEFLAGS make -s help | awk '{ printf "%s ", $1 }')"
for target in $(grep -ohE '(`|^ +)make [a-z][a-z-]*' "${docs[@]}" |
	sed 's/.*make //' | sort -u); do
	[[ $targets == *" $target "* ]] || fail "there is no 'make $target'"
done

# Each folder with code has its row in the table of layers.
for folder in $(printf '%s\n' */*.c | sed 's,/.*,,' | sort -u); do
	grep -q "^|.*\`$folder/\`" ARCHITECTURE.md ||
		fail "ARCHITECTURE.md has no row for $folder/"
done
exit $failed
