# Spindle. `make help` lists the targets.
CC ?= gcc
MODE ?= release
B := build/$(MODE)

WARN := -Wall -Wextra -Werror -Wshadow -Wimplicit-fallthrough -Wvla -Wundef \
	-Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS_release := -O2 -g
CFLAGS_debug := -O0 -g
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -g -fsanitize=thread
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
ALL_CFLAGS = -std=gnu11 -pthread $(WARN) $(CFLAGS_$(MODE)) $(CFLAGS)
LIBS := -lZydis -ljansson -lpthread

LIB_SRC := $(wildcard base/*.c driver/*.c driver/soft/*.c vmm/*.c)
CLI_SRC := $(wildcard cli/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$B/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$B/%.o)

all: build/spindle ## build the program (MODE=release|debug|asan|tsan)

build/spindle: $B/spindle
	@ln -sf $(MODE)/spindle $@

$B/spindle: $(CLI_OBJ) $B/libspindle.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS_$(MODE)) -o $@ $^ $(LIBS)

$B/libspindle.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

clean: ## remove everything that was built
	rm -rf build

.PHONY: all clean
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
