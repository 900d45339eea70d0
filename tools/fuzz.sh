#!/usr/bin/env bash
# Runs every fuzz target of the project for FUZZTIME (default 20s), one after the other. A failing input is left by go
# test under testdata/fuzz of its package, where it stays as a test.
set -euo pipefail
fuzztime=${FUZZTIME:-20s}

# `go test -list` prints the targets of a package and then the package's own line.
listing=$(go test -list '^Fuzz' ./...)
targets=$(awk '/^Fuzz/ {name[n++] = $1} /^ok/ {for (i = 0; i < n; i++) print $2, name[i]; n = 0}' <<<"$listing")
if [ -z "$targets" ]; then
  echo "no fuzz target found"
  exit 1
fi
echo "bound $(wc -l <<<"$targets") targets x $fuzztime, and the time to build them"

out=$(mktemp)
trap 'rm -f "$out"' EXIT
while read -r package target; do
  if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package" >"$out" 2>&1 </dev/null; then
    # A worker that is busy when the time is up makes go test fail with "context deadline exceeded" (golang/go#48591).
    # That is the end of the time and no finding: a finding always leaves its input.
    if ! grep -q '^    context deadline exceeded$' "$out" || grep -qE 'Failing input written|panic:|--- FAIL.*\n.*_test.go' "$out"; then
      cat "$out"
      echo "FAIL $package $target"
      exit 1
    fi
  fi
  echo "ok   $package $target: $(grep '^fuzz:' "$out" | tail -n 1 | cut -d' ' -f2-)"
done <<<"$targets"
