# Spindle. `make help` lists the targets; docs/testing.md says what they prove.
ifeq ($(origin CC),default)
CC := gcc
endif
MODE ?= release
B := build/$(MODE)$(if $(findstring clang,$(CC)),-clang)
DEPS ?= build/deps.ok
PREFIX ?= /usr/local
FUZZ_S ?= 60
MAKEFLAGS += -r
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:

WARN := -Wall -Wextra -Werror -Wshadow -Wimplicit-fallthrough -Wvla -Wundef \
	-Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS_release := -O2 -g
CFLAGS_debug := -O0 -g
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g -fsanitize=thread
CFLAGS_fuzz := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
CFLAGS_cov := -O0 -g --coverage
# A file that needs flags of its own: CFLAGS_folder/file.c := ...
# Handlers of the software CPU: pairs of plain stores, no tables of jumps.
$(foreach f,$(wildcard driver/soft/ops_*.c),$(eval CFLAGS_$f := \
	-fno-tree-slp-vectorize -fno-jump-tables))
ALL_CFLAGS = -std=gnu11 -pthread $(WARN) $(CFLAGS_$(MODE)) $(CFLAGS)
COMPILE = $(CC) $(ALL_CFLAGS) $(CFLAGS_$<) $(CPPFLAGS) -MMD -MP -c -o $@ $<
LINK = $(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^)
LIBS := -lZydis -ljansson -luring -llz4 -lpthread
say = $(if $V,,@printf '  %-5s %s\n' $1 $@;)

LIB_SRC := $(wildcard $(foreach d,base driver driver/soft vmm savestate cache \
	hdd torture,$d/*.c $d/*.S))
CLI_SRC := $(wildcard cli/*.c)
# In tests/ and bench/ a file with a main() is a program; the others are
# shared by the programs of their folder.
TEST_SRC := $(wildcard tests/*.c tests/*.S)
BENCH_SRC := $(wildcard bench/*.c)
MAINS := $(shell grep -lsE "^main.(int|void)" $(TEST_SRC) $(BENCH_SRC) /dev/null)
FUZZ_SRC := $(wildcard tests/fuzz_*.c)
obj = $(patsubst %,$B/%.o,$(basename $1))
TESTS := $(patsubst %.c,$B/%,$(filter-out tests/replay.c,\
	$(filter tests/%,$(MAINS))) $(FUZZ_SRC))
BENCHES := $(patsubst %.c,$B/%,$(filter bench/%,$(MAINS)))
UNITS = $(filter-out $B/tests/diff_%,$(TESTS))

all: build/spindle ## build the program (MODE=release|debug|asan|tsan, CC=clang)

# Other makefile pieces; each says in its first lines what it adds.
include $(wildcard guest/guest.mk guest/payload/payload.mk bench/bench.mk)

build/spindle: $B/spindle FORCE
	@ln -sfn $(B:build/%=%)/spindle $@

$B/spindle: $(call obj,$(CLI_SRC)) $B/libspindle.a
	$(call say,LINK)$(LINK) $(LIBS)

$B/libspindle.a: $(call obj,$(LIB_SRC))
$B/libtests.a: $(call obj,$(filter-out $(MAINS) $(FUZZ_SRC),$(TEST_SRC)))
$B/libbench.a: $(call obj,$(filter-out $(MAINS),$(BENCH_SRC)))
$B/%.a:
	@mkdir -p $(@D)
	$(call say,AR)rm -f $@ && ar rcs $@ $^

$B/%.o: %.c | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE)
$B/%.o: %.S | $(DEPS)
	@mkdir -p $(@D)
	$(call say,AS)$(COMPILE)

$B/tests/fuzz_%: $B/tests/fuzz_%.o $(if $(filter fuzz,$(MODE)),,\
		$B/tests/replay.o) $B/libtests.a $B/libspindle.a
	$(call say,LINK)$(LINK) $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer) $(LIBS)
$B/tests/%: $B/tests/%.o $B/libtests.a $B/libspindle.a
	$(call say,LINK)$(LINK) -lcmocka $(LIBS) -lm
$B/bench/%: $B/bench/%.o $B/libbench.a $B/libspindle.a
	$(call say,LINK)$(LINK) $(LIBS) -lm

# What must be installed; a first `make check` or `make demo` gets it itself.
build/deps.ok: tools/deps
	@mkdir -p build
	@tools/deps && touch $@

tests: $B/spindle $(TESTS) $(BENCHES) ## build the tests and benchmarks, run nothing
RUN = SPINDLE=$B/spindle tests/run $B
SCRIPTS = $(sort $(wildcard tests/e2e_*.sh)) $(sort $(wildcard tests/test_*.sh))
# Long ones first, so that short ones fill the gaps.
ALL_TESTS = $(filter $B/tests/diff_%,$(TESTS)) $(SCRIPTS) $(UNITS)

check: tests guest ## everything: unit, fuzz corpus, differential, end to end
	@$(RUN) $(ALL_TESTS)
check-long: tests guest ## the same, with the long differential run and the soak
	@TEST_LONG=1 TEST_TIMEOUT_S=7200 $(RUN) $(ALL_TESTS)
check-unit: $(UNITS) ## unit tests and the fuzz corpus only; no guest needed
	@$(RUN) $(UNITS)
check-kvm: tests ## what needs /dev/kvm, and nothing else
	@TEST_DRIVER=kvm $(RUN) $(wildcard $B/tests/test_driver $B/tests/test_choose)
asan: ## unit tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory MODE=asan check-unit
tsan: ## unit tests under ThreadSanitizer
	@$(MAKE) --no-print-directory MODE=tsan check-unit
fuzz: ## fuzz each parser for FUZZ_S=60 seconds (clang)
	@tools/deps build tidy
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-run
fuzz-run: $(FUZZ_SRC:%.c=$B/%)
	@tools/fuzz $B $(FUZZ_S) $^
cov: ## line coverage of unit and differential tests, by file
	-@$(MAKE) --no-print-directory MODE=cov tests check-unit
	@tools/cov build/cov
tidy: ## the rules of the house as a test
	@tools/deps tidy
	@tools/tidy
tsa: ## clang's thread-safety analysis (base/lock.h)
	@tools/deps build tidy
	@for f in $(LIB_SRC) $(CLI_SRC); do clang -std=gnu11 $(CPPFLAGS) \
		-fsyntax-only -Wthread-safety -Werror $$f || exit 1; done

bench: bench-soft bench-cpu ## every benchmark

demo: build/spindle guest ## boot a stock Debian kernel and run a few commands
	@tools/demo build/spindle

install: all ## program and manual pages under PREFIX=/usr/local (DESTDIR)
	install -Dm755 $B/spindle $(DESTDIR)$(PREFIX)/bin/spindle
	for m in $(wildcard docs/*.[1-8]); do install -Dm644 $$m \
		$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean: ## remove everything that was built
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST)

FORCE:
.PHONY: all tests check check-long check-unit check-kvm asan tsan fuzz \
	fuzz-run cov tidy tsa bench demo install clean help guest FORCE
guest:
-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(CLI_SRC) $(TEST_SRC) \
	$(BENCH_SRC)))
