// Package ledger keeps the second and third record of each step of a circulation
// stop or special deletion (특수삭제), beside the history: a ledger file of its own,
// and the operating system's record, both outside the data directory
// (docs/formats/ledger.md; R16, R17).
//
// It guarantees that each step that this node's history durably holds gets one line
// in either file, once, in order, chained to the line before it; that nothing in
// them is ever cut or rewritten; that the store never waits for them; and that a
// comparison of the three names every line that is missing, altered, doubled or
// foreign. People and reasons stand in a line only as the record's ciphertext.
package ledger
