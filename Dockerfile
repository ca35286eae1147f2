# SPDX-License-Identifier: Apache-2.0
# An image of the proxy:  docker build -t perilune .   (podman and buildah: with --format docker, for HEALTHCHECK)
#   docker run -v ./policy:/etc/perilune:ro -p 8080:8080 --stop-timeout 35 perilune
# The folder has policy.lua, which user 65532 may read and which listens on all addresses (":8080"), on a port from 1024
# on. A file that is mounted by itself stays what it was when an editor puts another in its place.
FROM debian:12-slim AS build
COPY . /src
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates make libargon2-dev && dist/deps.sh run \
    && make && make install DESTDIR=/out

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libluajit2-5.1-2 libev4 libssl3 \
    libc-ares2 libxxhash0 libpcre2-8-0 libnghttp2-14 zlib1g libbrotli1 libzstd1 libyaml-0-2 libncursesw6 libcrypt1 \
    libargon2-1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && groupadd --gid 65532 perilune \
    && useradd -K UID_MAX=65535 --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin perilune \
    && install -d -o perilune -g perilune /run/perilune
COPY --from=build /out/usr/local /usr/local
COPY deploy/policy.lua /etc/perilune/policy.lua
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["perilune", "status", "--socket", "/run/perilune/command.sock"]
ENTRYPOINT ["perilune"]
CMD ["run", "--socket", "/run/perilune/command.sock", "/etc/perilune/policy.lua"]
