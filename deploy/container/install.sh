#!/bin/sh
# Installs the router into a folder of its own, from the lock files, with its bytecode: install.sh FOLDER
# The container file runs it, and so does tests/deploy. Needs uv; PYTHON names the interpreter, python3 if unset.
set -eu
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

uv venv --quiet --relocatable --python "${PYTHON:-python3}" "$folder"
uv pip install --quiet --python "$folder" --require-hashes --compile-bytecode -r "$here/requirements.lock"
for project in "$root/clients/python" "$root"; do
  uv build --quiet --wheel --require-hashes --build-constraints "$here/build.lock" --out-dir "$wheels" "$project"
done
uv pip install --quiet --python "$folder" --no-deps --no-index --compile-bytecode "$wheels"/*.whl
