// Package replication is the raft node: it is the only importer of
// hashicorp/raft. It carries operations from this node's proposer through the
// log of a majority into the Machine, and does what a cluster has to do beside
// that: payload beside the entries, key blocks to the peers, clock votes,
// checkpoints, erasure on every node, membership by incarnation, catch-up and
// healing.
//
// It guarantees that what Submit answers is durable on a majority, payload and
// key included (I4); that a node which lost its disk, or came back with an old
// copy, never votes under its old name; that what this node serves again after a
// stop was checked; and that a node whose roots differ from the majority's stops
// serving (I6).
package replication
