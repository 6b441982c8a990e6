# Every recipe is a call of cargo. `make help` lists them.
CARGO  ?= cargo
HOST   := $(shell rustc -vV | sed -n 's/^host: //p')
MUSL   := $(HOST:-gnu=-musl)
# Runtime and shim are static: with musl, which starts faster, where Rust's library for it is installed.
TARGET  = $(if $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(MUSL)/lib),$(MUSL),$(HOST))
STATIC  = RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" $(CARGO) build --locked --target $(TARGET)
VM     := $(CARGO) run --locked --release -q -p dhow-integration-tests --bin vm
export DHOW_BIN := $(CURDIR)/bin

.PHONY: help build packages peers demo test test-vm bench check clean

help:
	@echo "make build   the five binaries, into bin/"
	@echo "make demo    the main job on a private stack: pull, run, exec, logs, networks (root)"
	@echo "make test    unit and integration tests, and those of test-vm (root)"
	@echo "make test-vm tests in virtual machines: systemd on cgroup v2 and v1, rootless, AppArmor, CRIU (root)"
	@echo "make bench   side by side with the newest runc, crun, containerd and docker at hand (root)"
	@echo "             GROUP=\"runtime stack\": only these of runtime supervisor stack memory log image"
	@echo "make check   formatting, clippy, documentation"

build:
	$(CARGO) build --locked --release -p dhow-supervisor -p dhow-daemon -p dhow-cli
	$(STATIC) --profile static -p dhow-runtime -p dhow-shim
	@mkdir -p bin
	install -m 755 $${CARGO_TARGET_DIR:-target}/release/{dhow,dhowd,dhow-supervisor} bin/
	install -m 755 $${CARGO_TARGET_DIR:-target}/$(TARGET)/static/{dhow-runtime,containerd-shim-dhow-v2} bin/
SHELL := /bin/bash

packages:
	@.ci/packages

peers: packages
	@.ci/peers

demo: packages build
	$(CARGO) run --locked --release -q -p dhow-integration-tests --bin demo

test: peers build
	$(CARGO) test --locked --release --workspace
	$(VM)

test-vm: packages build
	$(VM)

bench: peers build
	$(CARGO) run --locked --release -q -p dhow-integration-tests --bin bench -- $(GROUP)

check:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

clean:
	$(CARGO) clean
	rm -rf bin
