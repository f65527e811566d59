# Countersign in a container: the binary, its profiles and the certificates of public CAs; nothing else is added to Debian.
# Cargo's downloads and compiled dependencies live in cache mounts: a changed source compiles the one package anew, and
# no layer has to guess what the dependencies are.
FROM rust:1.95-slim-bookworm AS builder
# The TLS of the PostgreSQL client is built from source, which takes perl and make.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY migrations migrations
COPY ca ca
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --features postgres-tls --bin countersign \
 && install -D --mode=0755 target/release/countersign /out/usr/local/bin/countersign \
 && install -d --mode=0700 --owner=10001 --group=10001 /out/data

FROM debian:bookworm-slim
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /out/usr /usr
COPY --from=builder --chown=10001:10001 /out/data /data
COPY ca /opt/countersign/ca
# Profiles are found in ca/profiles below it.
WORKDIR /opt/countersign
# Whoever lets others in says how: COUNTERSIGN_TLS_CERT and COUNTERSIGN_TLS_KEY, or COUNTERSIGN_BEHIND_PROXY=true.
ENV COUNTERSIGN_LISTEN=0.0.0.0:8080 \
    COUNTERSIGN_DATA_DIR=/data
# By number, so that an orchestrator can see that it is not root. It writes to /data and nowhere else.
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["countersign", "healthcheck"]
ENTRYPOINT ["countersign"]
CMD ["serve"]
