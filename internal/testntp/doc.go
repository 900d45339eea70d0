// Package testntp gives tests and the demo time servers of their own: Server, a
// small one in this process whose every field can be made to lie, and Chrony, a
// real chronyd on a loopback address.
//
// A Server never reads the wall clock: it runs on CLOCK_BOOTTIME from an epoch
// given to it, so that servers of one epoch agree whatever happens to the host's
// date. A chronyd serves the host's date or, when asked to, a false one.
package testntp
