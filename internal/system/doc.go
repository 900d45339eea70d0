// Package system holds the tests of the whole appliance as people meet it: the
// programs sagod and sago as processes, with real files, sockets, TLS and time
// servers, killed, cut off, wiped and lied to. It has no code of its own beside
// its tests, and guarantees that nothing a test starts outlives it.
package system
