// Package retention decides how long a record is kept: it holds the pure rules
// of periods, deadlines, holds and one-time views, and the quorum clock they
// are judged on.
//
// It does no I/O, reads no clock, draws no randomness and imports nothing of
// this project, so every node that applies the same log comes to the same
// decision. It guarantees that
//
//   - no sequence of operations makes a deadline earlier (I1),
//   - the quorum clock never goes back, never passes what a majority of all
//     voters vouch for, and never gains more than the slack and 200 ppm of
//     uptime over the voters' boot clocks, whatever their sources say (I2),
//   - what is unset, unknown or damaged is kept and says so (I8), and
//   - a [Permit] to remove a record comes only from a decision made here.
//
// All values are plain: a method never changes its receiver but returns the
// value after the operation, and shares no slice that a later call may write.
package retention
