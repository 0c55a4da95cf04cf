# ngx_http_llm_module: every entry point of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
BUILD := $(ROOT)/build
MODULE := $(BUILD)/deb/ngx_http_llm_module.so
NGINX_SRC := /usr/share/nginx/src
JOBS ?= $(shell nproc)
SOURCES := $(shell find ngx_llm_module translators -name '*.cpp')

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | \
	    awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

# --- set-up ----------------------------------------------------------------------------------

deps: ## install what building and testing need (Debian; as root)
	t/tools/deps.sh build test

deps-build:
	@t/tools/deps.sh build

deps-test:
	@t/tools/deps.sh build test

# --- the module ------------------------------------------------------------------------------

build: deps-build module ## build the module for Debian's nginx

# Configure again when a source file comes or goes; headers are tracked by the compiler.
$(BUILD)/sources: FORCE
	@mkdir -p $(BUILD)
	@printf '%s\n' $(sort $(SOURCES)) | cmp -s - $@ || printf '%s\n' $(sort $(SOURCES)) > $@

$(BUILD)/deb/Makefile: config config.make $(BUILD)/sources
	cd $(NGINX_SRC) && . ./conf_flags && \
	    ./configure --with-cc-opt="$$(dpkg-buildflags --get CFLAGS) $$(dpkg-buildflags --get CPPFLAGS) -fPIC" \
	        --with-ld-opt="$$(dpkg-buildflags --get LDFLAGS) -fPIC" \
	        "$${NGX_CONF_FLAGS[@]}" \
	        --add-dynamic-module=$(ROOT) --builddir=$(BUILD)/deb > $(BUILD)/configure.log 2>&1 \
	    || { tail -20 $(BUILD)/configure.log; exit 1; }

module: $(BUILD)/deb/Makefile
	@$(MAKE) -j$(JOBS) -s -C $(NGINX_SRC) -f $(BUILD)/deb/Makefile modules

.PHONY: help deps deps-build deps-test build module FORCE
FORCE:
