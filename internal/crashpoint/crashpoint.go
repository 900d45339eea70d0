// Package crashpoint names the steps of a destruction at which a test has a process
// end as a power cut would end it.
//
// It guarantees that programs as they are shipped do nothing there: the code that
// ends a process is built only with the tag sago_crash, which internal/system gives
// to programs of its own.
package crashpoint

// Env names the variable of the environment that names a file. A process built with
// the tag sago_crash looks into that file at every step, and kills itself (SIGKILL)
// at the one that stands there: "before " or "after " and the step's name.
const Env = "SAGO_CRASH_AT"
