// Package store is one node's durable state. Its Machine turns log entries into
// history records and, record by record, into state: every change of the state
// is the effect of a history record, so that a rebuild, a catch-up and an
// auditor run the same code as the everyday path.
//
// It guarantees, given the same log on every node: the same history, byte for
// byte, and the same state (I6); no bundle removable before its deadline (I1);
// nothing done that is not recorded (I3); no key material in anything the
// Machine touches. It reads no wall clock, draws no randomness while applying
// and knows nothing of raft, the network or the API above it.
//
// Below it is one room per kind of file: segment, keyring, history, index, and
// custodian, the only one that destroys.
package store
