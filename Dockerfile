# The relay as a container: one program, no shell, nobody's root.
#
#   docker build -t onetribe-relay .
#   docker run --env-file .env -p 8080:8080 -v relay_data:/data --stop-timeout 60 onetribe-relay

FROM rust:1.95-bookworm AS build
WORKDIR /src

# Dependencies first, built around empty sources: this layer is made anew only when a manifest or the lock file changes.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY sandbox/Cargo.toml sandbox/
RUN mkdir -p benches/attack benches/faults benches/rooms benches/speed src sandbox/src tests/it \
    && echo 'fn main() {}' > src/main.rs \
    && touch benches/attack/main.rs benches/faults/main.rs benches/rooms/main.rs benches/speed/main.rs \
    && touch src/lib.rs sandbox/src/lib.rs tests/it/main.rs \
    && cargo build --locked --profile dist --package onetribe-relay

# Then the relay itself. Copied files keep their times, which may be older than the empty sources' build: touched, they count as new.
COPY migrations migrations
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --locked --profile dist --package onetribe-relay \
    && mkdir /data /backup

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="onetribe-relay" \
      org.opencontainers.image.description="Relays the orders of online stores to One Tribe" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="https://git.example.com/onetribe/onetribe-relay" \
      org.opencontainers.image.documentation="https://git.example.com/onetribe/onetribe-relay/blob/main/docs/deploy.md" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
# `docker build --build-arg REVISION=$(git rev-parse HEAD) --build-arg VERSION=0.1.0` names what was built.
ARG REVISION=unknown VERSION=unknown
LABEL org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /src/target/dist/onetribe-relay /usr/local/bin/onetribe-relay
# The relay runs as 65532 and makes its database here. A new volume takes this folder's owner over.
COPY --from=build --chown=65532:65532 /data /data
# Here `backup` may make its copies. They go with the container, unless a folder of the host's is mounted.
COPY --from=build --chown=65532:65532 /backup /backup
USER 65532:65532
ENV DATABASE_URL=sqlite:///data/relay.db
# PORT; METRICS_PORT has no default and is no business of the internet's.
EXPOSE 8080
# Drains on SIGTERM: give it a minute (see --stop-timeout above) before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["/usr/local/bin/onetribe-relay", "healthcheck"]
# Whoever forgets -v still gets a volume, and can find what was acknowledged there after the container is gone.
VOLUME /data
ENTRYPOINT ["/usr/local/bin/onetribe-relay"]
