package main

import (
	"os"
	"runtime"
)

// leastProcessors is how many threads at least may run at once, on a machine with fewer
// cores as well: one that waits for a page of a mapped file, or for a short while in a
// call of the system, counts as running, and whoever answers a request waits behind it.
// With two on two cores the slowest of puts and reads took twice as long while bundles
// were decided as with four (docs/adr/0034).
const leastProcessors = 4

// raiseProcessors has at least these. GOMAXPROCS overrules it.
func raiseProcessors() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < leastProcessors {
		runtime.GOMAXPROCS(leastProcessors)
	}
}
