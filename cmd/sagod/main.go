// Command sagod is the appliance daemon: it reads configuration, wires the
// rooms together and runs them; it holds no rule of its own.
//
// It guarantees that
//
//   - a configuration is judged whole before anything starts, each fault one line,
//   - no safety setting comes from a file, a flag or the environment (I10): they
//     say where things are, the ceremony's document and acts say what holds,
//   - a node whose own files or clock fail it stops, and says why, rather than
//     going on with what it has left (I8), and
//   - only a development directory can be removed, and only by saying so.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
