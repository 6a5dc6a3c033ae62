# Sourced by the scripts beside it: whether a language's tools are here. In CI (CI=true) they have to be.

have() { # LANGUAGE TOOL...
  local language=$1 tool
  shift
  for tool in "$@"; do
    type -P "$tool" >/dev/null && continue
    echo "$language: left out, $tool is missing here"
    [ -z "${CI:-}" ] || { echo "$language: CI needs $tool"; exit 1; }
    return 1
  done
}
