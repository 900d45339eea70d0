// Package timesource gives the trusted time of one node: it turns NTP and NTS
// samples into an interval that contains true time, like TrueTime or ClockBound.
//
// What it guarantees, as long as fewer than half of the configured sources lie:
// true time lies between Earliest and Latest of every Reading. What it never
// does: read the host's wall clock, weaken a setting by a file, or follow a jump.
//
//   - Instants are readings of CLOCK_BOOTTIME, bound to the boot id, checked
//     against CLOCK_MONOTONIC_RAW, which nobody can slew. Elapsed time is the
//     lesser of the two for Earliest and the greater for Latest, so a suspended
//     or slewed host widens the interval and never moves it ahead.
//   - A sample is the server's transmit time plus the round trip, widened by half
//     the root delay, the root dispersion and the server's precision (sample.go).
//   - Selection is the intersection of RFC 5905 (section 11.2.1) in the form that
//     keeps truth inside even when liars overlap honest sources (selection.go).
//   - Between samples the interval widens by 200 ppm (policy). A new selection may
//     only narrow it. One that does not meet it is a jump: refused, reported, and
//     the node goes on in holdover on the interval that it has. A leap second that
//     is stepped is such a jump of one second; the node meets its sources again by
//     itself once the interval has widened to them.
//   - A host name is one vote, however many addresses it resolves to; one address
//     is one vote, however many names lead to it.
//   - Every selection leaves evidence, from which CheckEvidence runs it again
//     (evidence.go documents the bytes).
//
// A restarted process acquires anew, without the interval it had: what restarts
// and lies together could gain is bounded by the cluster's quorum clock, not here.
// It is also the remedy for a node whose first selection was a lie, and which
// refuses the truth as a jump ever since.
package timesource
