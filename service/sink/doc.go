// Package sink sends a node's history, record by record, to a file or to a
// syslog receiver outside (docs/formats/sink-line.md): what a monitoring system
// watches, and what a restore can take besides the nodes' own copies.
//
// It guarantees that the store never waits for it: it reads durable, applied
// records from the history by sequence and queues nothing. It never loses a
// record: its place outlives the process, and behind it is only what the file has
// on disk or what the receiver's TCP has acknowledged. After an interruption some
// lines come again; sequence and leaf hash tell a receiver which. A line holds the
// record as it is: what can name a person stays sealed.
package sink
