# ngx_http_llm_module: every entry point of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
BUILD := $(ROOT)/build
MODULE := $(BUILD)/deb/ngx_http_llm_module.so
NGINX_SRC := /usr/share/nginx/src
JOBS ?= $(shell nproc)
CXX_FILES = $(shell find ngx_llm_module translators t -name node_modules -prune -o \
                \( -name '*.cpp' -o -name '*.hpp' \) -print)

# nginx's configure edits paths with sed and does not quote them.
ifneq ($(or $(findstring .c,$(ROOT)),$(findstring .S,$(ROOT)),$(word 2,$(ROOT))),)
    $(error nginx's build cannot live in $(ROOT): no blank, ".c" or ".S" in the path, please)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- set-up ----------------------------------------------------------------------------------

deps: ## install what building, testing and checking need (Debian 12; root only if any is missing)
	@t/tools/deps.sh build run test lint sanitize

deps-%:
	@t/tools/deps.sh $(subst -, ,$*)

# --- the module ------------------------------------------------------------------------------

build: deps-build module ## build the module for Debian's nginx: build/deb/ngx_http_llm_module.so

# The lock lets two of us build in one tree at once; the second finds the work done.
module:
	@mkdir -p $(BUILD)
	@flock $(BUILD)/deb.lock $(MAKE) --no-print-directory module-locked

module-locked: $(BUILD)/deb/tested

# What configure depends on: it runs again when a source file comes or goes, or when Debian's
# nginx changes. Headers are the compiler's business (.d files, see config.make).
$(BUILD)/deb/inputs: FORCE
	@mkdir -p $(@D)
	@{ dpkg-query -W nginx-dev; find ngx_llm_module translators -name '*.cpp' | LC_ALL=C sort; } \
	    > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# configure rewrites its headers, and every object depends on them: what did not change keeps its
# time, so that a new source file does not compile all the others.
$(BUILD)/deb/Makefile: config config.make $(BUILD)/deb/inputs
	@echo "configure (log: build/deb/configure.log)"
	@for file in ngx_auto_config.h ngx_auto_headers.h; do \
	    if [ -e $(@D)/$$file ]; then cp -p $(@D)/$$file $(@D)/$$file.old; fi; done
	@cd $(NGINX_SRC) && . ./conf_flags && \
	    ./configure --with-cc-opt="$$(dpkg-buildflags --get CFLAGS) $$(dpkg-buildflags --get CPPFLAGS) -fPIC" \
	        --with-ld-opt="$$(dpkg-buildflags --get LDFLAGS) -fPIC" \
	        "$${NGX_CONF_FLAGS[@]}" \
	        --add-dynamic-module=$(ROOT) --builddir=$(BUILD)/deb > $(BUILD)/deb/configure.log 2>&1 \
	    || { tail -20 $(BUILD)/deb/configure.log; rm -f $@; exit 1; }
	@for file in ngx_auto_config.h ngx_auto_headers.h; do \
	    if cmp -s $(@D)/$$file.old $(@D)/$$file; then mv $(@D)/$$file.old $(@D)/$$file; fi; done

$(MODULE): $(BUILD)/deb/Makefile FORCE
	@$(MAKE) -j$(JOBS) -s -C $(NGINX_SRC) -f $(BUILD)/deb/Makefile modules

# A symbol that is missing shows only when nginx loads the module.
$(BUILD)/deb/tested: $(MODULE) t/tools/load_test.sh
	@t/tools/load_test.sh $(MODULE)
	@touch $@

# --- using it --------------------------------------------------------------------------------

MODULES_DIR := $(DESTDIR)/usr/lib/nginx/modules
CONF_DIR := $(DESTDIR)/etc/nginx
SNIPPET := 50-mod-http-llm.conf

# Without debug information (most of the file), with the symbol table: a backtrace still names
# functions. By rename, because a running nginx has the old file mapped into its memory.
install: build ## put the module and the snippet that loads it where Debian's nginx finds them
	@install -d $(MODULES_DIR) $(CONF_DIR)/modules-available $(CONF_DIR)/modules-enabled
	@strip --strip-debug -o $(MODULES_DIR)/.ngx_http_llm_module.so.new $(MODULE)
	@chmod 644 $(MODULES_DIR)/.ngx_http_llm_module.so.new
	@mv -f $(MODULES_DIR)/.ngx_http_llm_module.so.new $(MODULES_DIR)/ngx_http_llm_module.so
	@echo 'load_module modules/ngx_http_llm_module.so;' > $(CONF_DIR)/modules-available/$(SNIPPET)
	@ln -sfn /etc/nginx/modules-available/$(SNIPPET) $(CONF_DIR)/modules-enabled/$(SNIPPET)
	@echo "Installed $(MODULES_DIR)/ngx_http_llm_module.so"
	@echo "Loaded by $(CONF_DIR)/modules-enabled/$(SNIPPET), which Debian's nginx.conf includes."
	@echo "Next: write llm_ directives (see conf-examples/), then nginx -t && nginx -s reload"
	@echo "After an upgrade of the module: systemctl restart nginx (a reload keeps the old code)."

uninstall: ## take away what make install put there
	rm -f $(MODULES_DIR)/ngx_http_llm_module.so $(CONF_DIR)/modules-available/$(SNIPPET) \
	    $(CONF_DIR)/modules-enabled/$(SNIPPET)

PORT ?= 4000
HOST ?= 127.0.0.1
run: deps-build-run module ## start a gateway on port 4000 (PORT=, HOST=); again: reload; make stop
	@HOST='$(HOST)' PORT='$(PORT)' t/tools/run.sh start

stop: ## stop the gateway that make run started
	@t/tools/run.sh stop

# --- tests -----------------------------------------------------------------------------------

test: deps-build-test module ## build and run all tests: unit, golden, nginx, SDKs
	@t/tools/steps.pl 'make test' \
	    unit='$(MAKE) --no-print-directory unit' \
	    prove='$(MAKE) --no-print-directory prove' \
	    sdk='$(MAKE) --no-print-directory sdk'

unit: deps-build-test ## only the units and golden files of translators/ (sanitizers on)
	@mkdir -p $(BUILD)
	@flock $(BUILD)/unit.lock $(MAKE) --no-print-directory -j$(JOBS) -f t/unit/Makefile all
	@$(MAKE) --no-print-directory -f t/unit/Makefile run

golden-update: deps-build-test ## write the golden files anew from what the code does now
	@mkdir -p $(BUILD)
	@flock $(BUILD)/unit.lock $(MAKE) --no-print-directory -j$(JOBS) -f t/unit/Makefile all
	@$(MAKE) --no-print-directory -f t/unit/Makefile golden-update
	@echo "Review them: git diff t/golden"

PROVE_JOBS ?= 2
TESTS ?= $(sort $(wildcard t/*.t))
# The times that tests allow are stretched: two of them run at once, and whatever else the machine does.
prove sdk: export LLM_SLOW ?= 2
prove: deps-build-test module ## only the tests of the module in nginx (TESTS="t/a.t t/b.t")
	prove -j$(PROVE_JOBS) -It/lib $(TESTS)

sdk: deps-build-test module ## only the tests with the real SDKs from npm
	@t/tools/sdk.sh

# The recordings are not part of the repository. Without them this fails, so that nobody takes
# "not run" for "passed".
SHARED ?= ../shared
corpus: deps-build-test ## replay the recorded traffic of SHARED/corpus (../shared)
	@if [ ! -d $(SHARED)/corpus ]; then \
	    echo "There are no recordings in $(SHARED)/corpus (SHARED=... names another place)"; exit 1; fi
	@mkdir -p $(BUILD)
	@flock $(BUILD)/unit.lock $(MAKE) --no-print-directory -j$(JOBS) -f t/unit/Makefile \
	    build/unit/corpus_replay
	@build/unit/corpus_replay $(SHARED) > $(BUILD)/corpus.log 2>&1 && status=0 || status=$$?; \
	    grep -vE '^ok ' $(BUILD)/corpus.log || true; \
	    echo "$$(grep -c '^ok ' $(BUILD)/corpus.log) passed," \
	        "$$(grep -c '^not ok ' $(BUILD)/corpus.log) failed"; exit $$status

sanitize: deps-build-test-sanitize ## the tests of the module in an nginx with sanitizers
	@t/tools/sanitize.sh build
	@t/tools/sanitize.sh run prove -j$(PROVE_JOBS) -It/lib $(TESTS)

FUZZ_SECONDS ?= 20
FUZZ_RUNS ?=
fuzz: deps-build-test ## fuzz every decoder for FUZZ_SECONDS (20) each, or the same FUZZ_RUNS inputs each time
	@mkdir -p $(BUILD)
	@flock $(BUILD)/unit.lock $(MAKE) --no-print-directory -j$(JOBS) -f t/unit/Makefile fuzzers
	@$(MAKE) --no-print-directory -k -j$(JOBS) -f t/fuzz/Makefile run SECONDS_EACH=$(FUZZ_SECONDS) \
	    RUNS=$(FUZZ_RUNS)

BENCH ?=
bench: deps-build module ## cost beside stock nginx, in ratios (BENCH="--quick": options of t/bench/run.pl)
	t/bench/run.pl $(BENCH)
	@$(MAKE) --no-print-directory bench-translate
	@$(MAKE) --no-print-directory bench-ledger

bench-ledger: deps-build module ## cost of counting alone: booking a request, rendering the metrics
	@flock $(BUILD)/bench.lock $(MAKE) --no-print-directory -f t/bench/Makefile build/bench/ledger
	@build/bench/ledger --check

bench-translate: deps-build module ## cost of the translators alone: each event, each request of 1 MB
	@flock $(BUILD)/bench.lock $(MAKE) --no-print-directory -j$(JOBS) -f t/bench/Makefile
	@build/bench/translate

# --- the text of the project -----------------------------------------------------------------

lint: deps-lint ## format, include rules, docs: what a compiler does not check
	@t/tools/lint.pl

format: deps-lint ## rewrite the C++ files as .clang-format says
	clang-format-14 -i $(CXX_FILES)

docs: ## fill the reference sections of README.md from the tables in the code
	@t/tools/docs.pl README.md

scripts: ## write the text of the Lua scripts for the compiler anew
	@t/tools/texts.pl scripts

dashboard: ## write the text of the dashboard for the compiler anew
	@t/tools/texts.pl dashboard

catalogue: ## write the tables of providers anew from SHARED/spec/providers.json (../shared)
	@t/tools/catalogue.pl $(SHARED)/spec/providers.json

prices: ## write the tables of prices anew from SHARED/spec/models.json (../shared)
	@t/tools/prices.pl $(SHARED)/spec

clean: ## remove everything that was built (a running gateway is stopped)
	@if [ -e build/run ]; then t/tools/run.sh stop; fi
	rm -rf build t/clients/node_modules

.PHONY: help deps build module module-locked install uninstall run stop test unit golden-update \
    prove sdk corpus sanitize fuzz bench bench-ledger bench-translate lint format docs scripts dashboard catalogue prices clean FORCE
FORCE:
