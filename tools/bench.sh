#!/bin/bash
# Starts three development nodes in a throw-away directory, measures puts and recorded reads through the Go client, and
# what a restart with COUNT stored bundles costs. Shared machines are noisy: quote ratios of one run.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
pid=
start() {
	bin/sagod dev --dir "$work/d" --nodes 3 --listen "127.0.0.1:${PORT:-17600}" >"$work/log" 2>&1 &
	pid=$!
	for _ in $(seq 1 1200); do
		grep -q '^ready' "$work/log" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	tail -n 3 "$work/log"
	exit 1
}
stop() { kill "$pid" && wait "$pid" || true; pid=; }
finish() {
	[ -z "$pid" ] || stop
	bin/sagod dev --remove --dir "$work/d" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap finish EXIT
go build -o "$work/bench" ./internal/bench
contexts="$work/d/contexts"
start
"$work/bench" -app "$contexts/app.toml" -officer "$contexts/officer.toml" -clients "${CLIENTS:-64}" -size "${SIZE:-4096}" -duration "${DURATION:-10s}"
if [ "${COUNT:-0}" -gt 0 ]; then
	before=$(du -sb --apparent-size "$work/d" | cut -f1)
	"$work/bench" -app "$contexts/app.toml" -officer "$contexts/officer.toml" -clients 64 -size "${SIZE:-4096}" -count "$COUNT"
	after=$(du -sb --apparent-size "$work/d" | cut -f1)
	echo "disk: $(((after - before) * 100 / (COUNT * ${SIZE:-4096}) / 3)) bytes on a node for 100 bytes of payload"
	stop
	begin=$(date +%s%N)
	start
	echo "restart with $COUNT bundles more: $((($(date +%s%N) - begin) / 1000000)) ms until three nodes in one process are ready"
fi
