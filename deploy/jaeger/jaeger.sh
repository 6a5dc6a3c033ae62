#!/usr/bin/env bash
# `jaeger.sh build` finds or builds a Jaeger v2 and prints its path; `jaeger.sh run` runs one, in a container where an
# engine runs. JAEGER=/path/to/jaeger is taken as it is. Without any way it says so; that is a failure under CI only.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
built=$here/../../.tools/jaeger/jaeger
image=docker.io/jaegertracing/jaeger:2.13.0   # the release that tools/go.mod pins

unavailable() {
  if [ -n "${CI:-}" ]; then
    echo "Jaeger needs Go, which is missing here: install it, or name a Jaeger v2 with JAEGER=/path/to/jaeger" >&2
    exit 1
  fi
  echo "skipped: Jaeger needs Go (or JAEGER=/path/to/jaeger, or a container engine)" >&2
  exit 0
}

build() {
  if [ -n "${JAEGER:-}" ]; then
    test -x "$JAEGER" || { echo "JAEGER=$JAEGER is no program" >&2; exit 1; }
    realpath "$JAEGER"
    return
  fi
  local of
  of=$(cat "$here/tools/go.mod" "$here/tools/go.sum" | cksum)
  if [ ! -x "$built" ] || [ "$of" != "$(cat "$built.of" 2>/dev/null)" ]; then
    command -v go >/dev/null || unavailable
    echo "Building Jaeger from its Go module, once; this takes some minutes" >&2
    mkdir -p "$(dirname "$built")"
    (cd "$here/tools" && go build -o "$built" github.com/jaegertracing/jaeger/cmd/jaeger) >&2
    echo "$of" >"$built.of"
  fi
  realpath "$built"
}

run() {
  if [ -z "${JAEGER:-}" ]; then
    for engine in docker podman; do
      if command -v $engine >/dev/null && $engine info >/dev/null 2>&1; then
        echo "Jaeger: http://localhost:16686, OTLP on localhost:4317 and 4318 ($image in $engine)"
        exec $engine run --rm -e JAEGER_HOST=0.0.0.0 -v "$here/jaeger.yaml:/etc/jaeger.yaml:ro" \
          -p 127.0.0.1:16686:16686 -p 127.0.0.1:4317:4317 -p 127.0.0.1:4318:4318 $image --config /etc/jaeger.yaml
      fi
    done
  fi
  program=$(build)
  test -n "$program" || exit 0
  echo "Jaeger: http://localhost:${JAEGER_HTTP_PORT:-16686}, OTLP on localhost:${OTLP_GRPC_PORT:-4317} and ${OTLP_HTTP_PORT:-4318}"
  echo "One built from Go shows a placeholder for its pages; its API answers, and deploy/jaeger/draw.py draws a trace"
  exec env JAEGER_LOG_LEVEL="${JAEGER_LOG_LEVEL:-warn}" "$program" --config "$here/jaeger.yaml"
}

case ${1:-} in
  build) build ;;
  run) run ;;
  *) echo "usage: jaeger.sh build|run" >&2; exit 2 ;;
esac
