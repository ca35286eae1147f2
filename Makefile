# SPDX-License-Identifier: Apache-2.0
# Builds build/perilune, and each sanitizer build in a directory of its own beside it.
#
#   make [PROFILE=no]      the release build              make run      the demo, on a fresh machine too
#   make SAN=address,undefined | SAN=thread               make test     everything, [ONLY=pattern] [SAN=thread]
#   make CC=clang                                         make lint     what the compilers and scripts can check
#   make deps              installs what is missing       make fuzz     [SECONDS=60] each driver for so long
#   make deb               a Debian package in build/: [BINARY=FILE] packs one that was built before
#   make install           [PREFIX=/usr/local] [DESTDIR=] make uninstall, with the same
#   make docs              docs/api.md and the man page   make clean
#   make LTO=no            links in a moment: for work on C, with PROFILE=no; what is shipped is linked as a whole
#   make bench             side by side with the peers: [BENCH='--only policy-64 --rounds 9'] [RECORD=1] [PINGORA=1]
#   make soak              [SECONDS=600] full load, connections that come and go, memory that must stay flat
# V=1 shows the commands.

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
PREFIX  ?= /usr/local
SECONDS ?= $(if $(filter soak,$(MAKECMDGOALS)),600,60)
Q       := $(if $(V),,@)
SAY     := @$(if $(QUIET),:,echo)
comma   := ,
BUILD   := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
TEST_SAN := $(or $(SAN),address$(comma)undefined)
TEST_BUILD := build/san-$(subst $(comma),-,$(TEST_SAN))
FUZZ_SAN := fuzzer-no-link,address,undefined
FUZZ_BUILD := build/san-$(subst $(comma),-,$(FUZZ_SAN))

WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wswitch-enum -Wstrict-prototypes $(if $(WERROR),-Werror)
LTO     := $(or $(LTO),$(if $(findstring clang,$(CC)),no,yes))
$(if $(filter yes no,$(LTO)),,$(error LTO is yes or no, not $(LTO)))
HARDENED := -O2 -fno-plt $(if $(filter yes,$(LTO)),-flto=auto) -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
SANITIZED := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all -DARENA_MALLOC -DINVARIANTS
# The release build is compiled by a profile of itself, made once: an instrumented build is kept busy for some seconds,
# and gcc, which finds its counts beside the objects, lays out together what is in use. It takes a tenth of the
# instructions of a request away. Each change of the sources makes a new one: PROFILE=no builds without, and fast.
PROFILE := $(or $(PROFILE),$(if $(SAN)$(findstring clang,$(CC))$(filter /%,$(BUILD)),no,yes))
$(if $(filter yes no generate,$(PROFILE)),,$(error PROFILE is yes or no, not $(PROFILE)))
# The layers that each request goes through may grow for their speed.
HOT = $(if $(SAN),,$(if $(filter core/base/% core/http/% core/net/% core/relay/% core/exchange/% core/downstream/% core/upstream/%,$<),-O3))
MEASURED_no       :=
MEASURED_yes      := -fprofile-use -fprofile-partial-training -fprofile-correction -Wno-missing-profile
MEASURED_generate := -fprofile-generate -fprofile-update=atomic
MEASURED          := $(MEASURED_$(PROFILE))
PROFILED          := $(if $(filter yes,$(PROFILE)),$(BUILD)/profile/done)
CPPFLAGS += -D_GNU_SOURCE -I core -I . $(LIB_CFLAGS) -MMD -MP
CFLAGS  += -std=c11 -g -pthread -fPIE $(WARNINGS) $(if $(SAN),$(SANITIZED),$(HARDENED))
# At a fixed address in sanitizer builds: else each of the thousands of starts in a test run relocates 190,000 pointers.
LDFLAGS += -pthread $(if $(SAN),-no-pie -fsanitize=$(SAN),$(HARDENED) -pie) -rdynamic -Wl,-z,relro,-z,now

# libev has no pkg-config file. Debian 12 has llhttp as C sources only: they are compiled with ours, in strict mode.
LIBS       := luajit openssl libcares libxxhash libpcre2-8 libnghttp2 zlib libbrotlienc libbrotlidec libzstd yaml-0.1
LLHTTP     := $(wildcard /usr/share/llhttp/llhttp.c)
ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LIBS       += libllhttp
LLHTTP     :=
endif
# argon2 is OpenSSL's from 3.2 on; before that it is libargon2's, where that is to be had (libargon2-dev).
ifneq ($(shell pkg-config --atleast-version=3.2 openssl 2>/dev/null && echo yes),yes)
ARGON2     := $(shell pkg-config --exists libargon2 2>/dev/null && echo libargon2)
endif
LIB_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(LIBS) 2>/dev/null)) \
              $(if $(LLHTTP),-isystem /usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1) $(if $(ARGON2),-DWITH_LIBARGON2)
LIB_LIBS   := $(shell pkg-config --libs $(LIBS) $(ARGON2) ncursesw 2>/dev/null) -lev -lcrypt -lm -ldl

below    = $(foreach depth,/ /*/ /*/*/,$(wildcard $(1:%=%$(depth)$2)))
SOURCES := $(sort $(call below,core/* lua,*.c))
HEADERS := $(sort $(call below,core/* lua,*.h))
LIBRARY_OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o) $(if $(LLHTTP),$(addprefix $(BUILD)/obj/llhttp/,api.o http.o llhttp.o))
UNITS   := $(sort $(wildcard spec/c/*.c spec/c/*/*.c))
FUZZERS := $(sort $(wildcard spec/fuzz/*.c))
OBJECTS := $(LIBRARY_OBJECTS) $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard core/main.c) $(UNITS) $(FUZZERS))

# Objects of another compiler or other flags are not mixed with new ones: `make` and then `make CC=clang`.
FLAGS := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(PROFILE)
ifneq ($(FLAGS),$(file <$(BUILD)/flags))
$(shell mkdir -p $(BUILD))
$(file >$(BUILD)/flags,$(FLAGS))
endif

# What a step that failed leaves half written, the next make would take for done.
.DELETE_ON_ERROR:
.PHONY: all objects units fuzzers run test docs lint fuzz bench soak deps libraries install uninstall deb clean
all: $(BUILD)/perilune
objects: $(OBJECTS)
units: $(BUILD)/units
fuzzers: $(FUZZERS:spec/fuzz/%.c=$(BUILD)/fuzz/%)

$(BUILD)/perilune: $(BUILD)/obj/core/main.o $(LIBRARY_OBJECTS)
	$(SAY) "  link $@"
	$(Q)$(CC) $(LDFLAGS) $(MEASURED) -o $@ $^ $(LIB_LIBS)

# Units and fuzz drivers take from an archive only what they use.
$(BUILD)/libperilune.a: $(LIBRARY_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/units: $(UNITS:%.c=$(BUILD)/obj/%.o) $(BUILD)/libperilune.a
	$(SAY) "  link $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIB_LIBS)
$(BUILD)/fuzz/%: $(BUILD)/obj/spec/fuzz/%.o $(BUILD)/libperilune.a
	@mkdir -p $(@D)
	$(SAY) "  link $@"
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIB_LIBS)

# In a directory of its own, but under the same names: gcc knows a static function by that of its object.
$(BUILD)/profile/done: $(SOURCES) $(HEADERS) $(wildcard core/*.c dist/profile.*) Makefile $(BUILD)/flags | libraries
	$(SAY) "  a build that measures itself comes first"
	@mkdir -p $(@D)
	$(Q)find $(@D) -name '*.gcda' -delete
	@ln -sfn $(foreach name,core lua scripts dist Makefile,$(CURDIR)/$(name)) $(@D)
	@$(MAKE) -C $(@D) --no-print-directory PROFILE=generate $(BUILD)/perilune
	$(SAY) "  profile"
	$(Q)dist/profile.sh $(@D)/$(BUILD)/perilune || { echo "PROFILE=no builds without a profile" >&2; exit 1; }
	$(Q)find $(BUILD)/obj -name '*.gcda' -delete 2>/dev/null; cd $(@D)/$(BUILD) && find obj -name '*.gcda' -exec cp --parents {} $(CURDIR)/$(BUILD) \;
	@touch $@
$(BUILD)/obj/%.o: %.c Makefile $(BUILD)/flags $(PROFILED) | libraries
	@mkdir -p $(@D)
	$(SAY) "  $(CC) $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HOT) $(MEASURED) -c -o $@ $<
$(BUILD)/obj/spec/%.o: spec/%.c Makefile $(BUILD)/flags | libraries
	@mkdir -p $(@D)
	$(SAY) "  $(CC) $<"
	$(Q)$(CC) $(CPPFLAGS) -I spec/c $(CFLAGS) -c -o $@ $<
$(BUILD)/obj/llhttp/%.o: /usr/share/llhttp/%.c Makefile $(BUILD)/flags $(PROFILED)
	@mkdir -p $(@D)
	$(SAY) "  $(CC) $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(MEASURED) -w -c -o $@ $<
$(BUILD)/obj/core/runtime/observe/page.o: core/runtime/observe/status.html
$(BUILD)/obj/core/cli/flame_svg.o: core/cli/flame.xml
-include $(OBJECTS:.o=.d)

libraries:
	@dist/deps.sh --check run
deps:
	@dist/deps.sh run test every_spec lint fuzz bench

# Packages may come in first, and what they bring is looked up above: so these build in a make of their own. The specs
# take the release build for what they say of memory, which sanitizers multiply.
run:
	@dist/deps.sh run
	@$(MAKE) --no-print-directory all
	@build/perilune run examples/demo.lua || { code=$$?; [ $$code != 2 ] || [ -n "$$LISTEN" ] || \
	  echo "perilune: where the port is taken, this listens elsewhere: LISTEN=127.0.0.1:8080 make run" >&2; exit $$code; }
test:
	@dist/deps.sh run test
	@$(MAKE) --no-print-directory SAN=$(TEST_SAN) all units
	@$(MAKE) --no-print-directory SAN= all
	@dist/test.sh $(TEST_BUILD) '$(ONLY)'
docs: docs/api.md dist/perilune.1 dist/perilune.bash dist/perilune.zsh dist/perilune.fish
docs/api.md: dist/api.lua $(wildcard lua/perilune/types*.lua)
	@mkdir -p $(BUILD)
	$(SAY) "  docs $@"
	$(Q)luajit dist/api.lua >$(BUILD)/api.md && mv $(BUILD)/api.md $@
dist/perilune.1 dist/perilune.bash dist/perilune.zsh dist/perilune.fish &: $(wildcard core/cli/*.[ch]) \
  core/runtime/config.c core/runtime/config.h core/base/version.h
	@dist/built.sh $^ >/dev/null || $(MAKE) --no-print-directory PROFILE=no LTO=no all
	$(SAY) "  docs man page, completion"
	$(Q)built=$$(dist/built.sh $^) && $$built help --man >$(BUILD)/perilune.1 && mv $(BUILD)/perilune.1 dist/ && \
	  for shell in bash zsh fish; do \
	    $$built help --completion $$shell >$(BUILD)/perilune.$$shell && mv $(BUILD)/perilune.$$shell dist/ || exit 1; \
	  done
lint:
	@dist/deps.sh run lint
	+@dist/lint.sh
fuzz:
	@dist/deps.sh run fuzz
	@$(MAKE) --no-print-directory CC=clang SAN=$(FUZZ_SAN) fuzzers
	@dist/fuzz.sh $(FUZZ_BUILD) $(SECONDS)
bench:
	@dist/deps.sh run bench
	@$(MAKE) --no-print-directory SAN= all
	@bench/run.py $(BENCH) $(if $(RECORD),--record) $(if $(PINGORA),--build-pingora)
soak:
	@dist/deps.sh run bench
	@$(MAKE) --no-print-directory SAN= all
	@bench/soak.py $(SECONDS)

# BINARY=FILE installs one that was built before.
install: $(if $(BINARY),,all)
	$(Q)PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" dist/install.sh install $(or $(BINARY),$(BUILD)/perilune)
uninstall:
	$(Q)PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" dist/install.sh uninstall
deb: $(if $(BINARY),,all)
	$(Q)dist/deb.sh $(or $(BINARY),$(BUILD)/perilune) $(or $(OUT),build)
clean:
	rm -rf build
