# For those who have make; the scripts do the same.
.PHONY: build up down test check bench map vm simulate
build:  ; scripts/build
up:     ; sudo scripts/up
down:   ; sudo scripts/down
test:   ; sudo scripts/test
check:  ; scripts/check
bench:  ; scripts/build --bench && sudo Benchmarks/run
map:    ; scripts/map
vm:     ; sudo scripts/vm run -t 1200 -m 2048 Tests/InVM/run
simulate: ; scripts/simulate $(SEEDS) $(HOURS)
