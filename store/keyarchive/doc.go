// Package keyarchive seals data keys so that only several persons together open
// them, and opens what they release (docs/formats/key-archive.md).
//
// It guarantees that whoever wrote an archive cannot open it again once Writer.End
// or Writer.Wipe has returned; that fewer holders than are needed learn nothing of its key; that
// an archive is opened only as it was written, every byte of it; and that a share
// is of use for one archive alone and, released, to one request alone. It knows no
// files and no state: it reads and writes bytes.
package keyarchive
