#!/usr/bin/env bash
# Fails when the Go beside the protos is not what `make generate` writes now, or when a generated file has lost its proto.
set -euo pipefail
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
go tool -modfile=tools/go.mod buf generate -o "$fresh"
sums() { (cd "$1" && find . -name '*.pb.go' -exec sha256sum {} + | sort -k 2); }
if ! difference=$(diff <(sums proto) <(sums "$fresh/proto")); then
  echo "generated code is not up to date; run \`make generate\` (< in the tree, > written now):"
  echo "$difference"
  exit 1
fi
