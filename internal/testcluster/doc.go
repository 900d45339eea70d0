// Package testcluster runs a cluster for tests and for the demo as an operator
// would: the programs sagod and sago themselves, each node a process of its own
// with its own files, real TLS and sockets on the loopback device, and time
// servers of this process for the nodes to ask.
//
// A cluster is made by the ceremony's own commands (sagod init) and has no way in
// that an operator does not have. It guarantees that
//
//   - nothing outlives it: each node is a process group that Close ends, and that
//     the kernel ends when this process dies in any way,
//   - it removes only what lies in its own directory, inode flags included, and
//   - its true time runs on CLOCK_BOOTTIME: setting the host's wall clock changes
//     nothing in it.
//
// It knows nothing of package testing; tests and the demo wrap it.
package testcluster
