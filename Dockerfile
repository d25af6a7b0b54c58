# Images without anything but the programs, which run as a user without rights.
#
#   docker build --target lictor -t lictor .    servers, sidecars, and every command
#   docker build --target hello -t hello .      the example service and its caller
#
# Around programs that were built before: examples/multi-dc/Dockerfile.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# One static file each: nothing else has to be in the image.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --target x86_64-unknown-linux-gnu -p lictor -p hello -p hello-client \
 && mkdir -p /programs /nothing \
 && cd target/x86_64-unknown-linux-gnu/release && cp lictor hello hello-client /programs/

FROM scratch AS hello
COPY --from=build /programs/hello /programs/hello-client /
USER 65532:65532
ENTRYPOINT ["/hello"]

FROM scratch AS lictor
COPY --from=build /programs/lictor /
COPY --from=build --chown=65532:65532 /nothing /var/lib/lictor
USER 65532:65532
# Gossip, RPC, HTTP, DNS, and gRPC for applications.
EXPOSE 8300 8301 8301/udp 8302 8302/udp 8500 8502 8600 8600/udp
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/lictor", "info"]
ENTRYPOINT ["/lictor"]
CMD ["agent", "-dev"]
