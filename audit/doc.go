// Package audit is the inspector's side: an offline verifier from bytes and
// public keys alone (docs/formats/export.md).
//
// It guarantees that an export is called ok only when a majority of the node
// keys that the caller brought along signed the tree which every record in it
// was proven to lie in, and no record of the range that the EXPORT record names
// is missing; that no key, hash or range is trusted because the export says so;
// that every file is read within bounds and memory does not grow with the log.
// It writes nothing and asks nobody.
package audit
