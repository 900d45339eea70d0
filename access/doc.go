// Package access decides who may do what (훈령 제526호): principals, roles, the
// decision itself, and the signatures that acts are made of.
//
// It does no I/O, reads no clock, draws no randomness and imports nothing of
// this project, so every node that applies the same log comes to the same
// decision. It guarantees that
//
//   - what is not expressly allowed is denied ([Decide]); unknown roles, unknown
//     verbs and principals without a number included,
//   - no table can let a system administrator read a bundle (R23, R80), and
//   - a signature counts only for the person whose key made it, and one person
//     counts once ([CheckCeremonySignatures]).
package access
