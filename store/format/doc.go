// Package format is the only code that knows the bytes of Sago's files: file
// headers, payload and key-block records, history records and their effects,
// acts, checkpoints and the rows of the index.
//
// Every encoding here is canonical: a value has exactly one encoding, a decoder
// refuses every other one, trailing bytes included, and what is hashed or
// signed is hashed or signed in this encoding. Integers are big-endian and of
// fixed width; strings and lists carry their length in front. docs/formats
// describes each layout well enough to write it again in another language.
//
// The package does no I/O, reads no clock and imports nothing of this module.
package format
