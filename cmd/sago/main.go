// Command sago is the command line of a Sago appliance for operators, officers,
// approvers and inspectors (현장실사). It speaks the public API alone.
//
// It guarantees that results go to standard output and messages to standard
// error, that every failure is one line "error: REASON_CODE: ..." and one of the
// exit codes of docs/cli.md, and that a document appears under its name only
// after its fingerprint verified.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
