// Package forensic tries every way it knows to recover one bundle (묶음정보) from the
// bytes of data directories, copies and backups, whole or not, and says what it
// found and what it did not: the proof that an erasure erased, or did not
// (docs/forensic.md).
//
// It guarantees that
//
//   - it writes to nothing that it searches and needs no running node,
//   - every byte of every file is looked at, at every offset: free pages, torn
//     tails and leftovers as well as what is in use. It follows no index, no walk
//     from record to record and no file name to find something; page lists and names
//     only say where something was found,
//   - what it calls recovered was decrypted and has the commitment and the
//     fingerprint that were recorded, and
//   - it says "nothing" only if it could read everything and knew what to look for;
//     what it did not try is named in the report.
package forensic
