// Package rules checks what the compiler cannot: who may import whom, that pure rooms read no clock and draw no
// randomness, that files are removed in few named places, and that the documents name what exists. Its tests run every
// rule over the source tree, and every rule over a planted violation, so that a rule that sees nothing is a failure too.
package rules
