# Recipes for `just` (https://just.systems). `just` alone lists them.

_default:
    @just --list

# A simulated store, a simulated One Tribe and the relay between them: `just sandbox --stores 10`
sandbox *args:
    cargo run --release -p sandbox -- {{args}}

# All tests
test:
    cargo test --workspace

# The tests whose name contains a text: `just only documents`
only name:
    cargo test --workspace -- {{name}}

# Speed and memory beside their goals, or a part of them: `just bench relay`
bench *parts:
    cargo bench --bench speed -- {{parts}}

# Formats everything
fmt:
    cargo fmt --all

# Formatting and lints, as in CI
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# What faults and attackers cost others, and what the app, instances and shops cost, beside their goals
bench-faults:
    cargo bench --bench faults
bench-attack:
    cargo bench --bench attack
bench-rooms:
    cargo bench --bench rooms

# Spelling, unused dependencies, licences, duplicates and advisories, with the tools as in CI
dependencies:
    #!/usr/bin/env bash
    set -euo pipefail
    . .ci/tools
    typos
    cargo machete
    cargo deny --locked check

# Random trouble over the whole relay for a while: `just promises 600`
promises seconds="60":
    PROMISES_SECONDS={{seconds}} cargo test --test it promises -- --nocapture

# The library's documentation, in a browser
doc:
    cargo doc --workspace --no-deps --open

# Everything that has to hold before a change is taken
ci:
    .ci/run

# One fuzz target for a while: `just fuzz payload 300`
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{target}}
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{target}} fuzz/corpus/{{target}} fuzz/seeds/{{target}} -- -max_total_time={{seconds}}

# Every fuzz target, one after the other, each for a while
fuzz-all seconds="600":
    for target in $(cargo fuzz list); do just fuzz $target {{seconds}} || exit 1; done

# The image, with its labels
image tag="onetribe-relay":
    docker build --build-arg REVISION=$(git rev-parse HEAD) --build-arg VERSION=$(cargo pkgid | sed 's/.*[@#]//') --tag {{tag}} .
