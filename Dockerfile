# Two images: `--target app`, the core, and `--target edge`, the Worker in workerd.
# Both are Debian slim with one program, which uid 1001 runs. No secret is needed to
# build them, and none is in them.

FROM rust:1.95.0-slim-bookworm AS source
# The image's own toolchain, without the components that only development needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
# core/build.rs makes the tiers' policies for it, and the Worker is made of it.
RUN rustup target add wasm32-unknown-unknown
WORKDIR /source
COPY . .

FROM source AS core
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --profile dist --locked --package agentidp-core --bin agentidp \
 && install target/dist/agentidp /usr/local/bin/agentidp

FROM source AS bundle
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo run --release --locked --package agentidp-edge-bundle \
 && cp -r target/edge-bundle /bundle

FROM node:22.22.2-bookworm-slim AS workerd
WORKDIR /workerd
COPY edge/package.json edge/package-lock.json edge/.npmrc ./
RUN npm ci && install node_modules/@cloudflare/workerd-linux-*/bin/workerd /usr/local/bin/workerd

FROM debian:bookworm-20251229-slim AS slim
# Certificates: the edge's core and origin may be https.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1001 --user-group --no-create-home --shell /usr/sbin/nologin agentidp

FROM slim AS edge
COPY --from=workerd /usr/local/bin/workerd /usr/local/bin/workerd
COPY --from=bundle /bundle /edge
# The clients' counts; a volume that is mounted here takes over its owner.
RUN install --directory --owner=1001 --group=1001 --mode=0700 /var/lib/edge
USER 1001:1001
EXPOSE 8787
VOLUME /var/lib/edge
# It answers, and it has its settings: without them it would say 503.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8787 && printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep ' 200 '"]
CMD ["workerd", "serve", "/edge/workerd.capnp", "--socket-addr=http=0.0.0.0:8787", "--directory-path=objects=/var/lib/edge"]

# The last stage, so that it is the one that is built where none is named.
FROM slim AS app
COPY --from=core /usr/local/bin/agentidp /usr/local/bin/agentidp
USER 1001:1001
EXPOSE 3000
# It lives; whether it is ready, `agentidp health` and /ready tell.
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 \
  CMD ["agentidp", "health", "--live"]
CMD ["agentidp", "serve"]
