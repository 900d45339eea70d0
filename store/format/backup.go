package format

import (
	"crypto/sha256"
	"fmt"
)

// What a backup leaves in the history, and the heads of its files
// (docs/formats/backup.md).

// BackupEffect is what BACKUP records: that copies of ciphertext and history leave
// the appliance, and whether keys do. The record of a run's beginning has only
// First and Period; the one of its end says what the backup then held.
type BackupEffect struct {
	// First and End are the sequences of the records that the run brought.
	First, End uint64
	// Size is the length of all files of the backup, bytes.
	Size uint64
	// Digest is the SHA-256 of the backup's manifest; zero at a run's beginning.
	Digest Digest
	// Period is the period to whose recovery keys the run seals the data keys that
	// it takes out; zero: no key leaves. Set at a run's beginning only.
	Period ID
	// Begun is the sequence of the BACKUP record of the run's beginning; 0 in that
	// record itself.
	Begun uint64
}

// Whole reports whether the record is of a run's end.
func (e BackupEffect) Whole() bool { return e.Digest != Digest{} }

// EndsBackup reports whether an encoded record is the BACKUP record of the end of a
// run that left a manifest with this digest, of that many records.
func EndsBackup(encoded []byte, manifest Digest, records uint64) (bool, error) {
	rec, err := DecodeRecord(encoded)
	if err != nil || rec.Action != ActBackup {
		return false, err
	}
	e, err := DecodeBackupEffect(rec.Effect)
	return err == nil && e.Whole() && e.Digest == manifest && e.End == records, err
}

func (e BackupEffect) encode(w *Writer) {
	w.U64(e.First)
	w.U64(e.End)
	w.U64(e.Size)
	w.Raw(e.Digest[:])
	w.Raw(e.Period[:])
	w.U64(e.Begun)
}

// DecodeBackupEffect reads a BACKUP record's effect.
func DecodeBackupEffect(b []byte) (BackupEffect, error) {
	return decodeEffect(b, func(r *Reader) (e BackupEffect) {
		e.First, e.End, e.Size = r.U64(), r.U64(), r.U64()
		r.Raw(e.Digest[:])
		e.Period = readID(r)
		e.Begun = r.U64()
		return e
	})
}

// BackupRow is the newest backup that was ended: when, on the quorum clock in
// microseconds, and how many records it holds.
type BackupRow struct {
	Clock int64
	End   uint64
}

// Encode returns the canonical bytes of b.
func (b BackupRow) Encode() []byte {
	var w Writer
	w.I64(b.Clock)
	w.U64(b.End)
	return w.Bytes()
}

// DecodeBackupRow reads what Encode wrote.
func DecodeBackupRow(v []byte) (BackupRow, error) {
	return decodeEffect(v, func(r *Reader) BackupRow { return BackupRow{r.I64(), r.U64()} })
}

// NodeKey is a node's new public key.
type NodeKey struct {
	Number    uint32
	PublicKey []byte // PKIX DER
}

// RestoreParams are those of the act that a restore takes: from which history the
// log goes on, what is missing behind it, what is known of deletions there, and
// which nodes go on with new keys because theirs are lost.
type RestoreParams struct {
	// Size and Root are the surviving history's.
	Size uint64
	Root Digest
	// Lost is one past the last record that is known to be missing; 0 when nobody
	// knows how many there were; Size when none is missing.
	Lost uint64
	// Ledger is the SHA-256 of the ledger of what was deleted in the missing part;
	// zero says that there is none.
	Ledger Digest
	Keys   []NodeKey // by number, ascending
}

// DeclaresLoss reports whether records are missing behind the surviving history.
func (p RestoreParams) DeclaresLoss() bool { return p.Lost != p.Size }

// Encode returns the canonical bytes of p.
func (p RestoreParams) Encode() []byte {
	var w Writer
	w.U64(p.Size)
	w.Raw(p.Root[:])
	w.U64(p.Lost)
	w.Raw(p.Ledger[:])
	w.U32(uint32(len(p.Keys)))
	for _, k := range p.Keys {
		w.U32(k.Number)
		w.Blob(k.PublicKey)
	}
	return w.Bytes()
}

// DecodeRestoreParams reads what Encode wrote.
func DecodeRestoreParams(b []byte) (RestoreParams, error) {
	return decodeEffect(b, func(r *Reader) (p RestoreParams) {
		p.Size = r.U64()
		r.Raw(p.Root[:])
		p.Lost = r.U64()
		r.Raw(p.Ledger[:])
		p.Keys = list(r, 8, func(r *Reader) NodeKey { return NodeKey{Number: r.U32(), PublicKey: r.Blob()} })
		for i := 1; i < len(p.Keys); i++ {
			if p.Keys[i].Number <= p.Keys[i-1].Number {
				r.fail("node keys do not ascend by number")
			}
		}
		return p
	})
}

// RestoredIncarnation is the incarnation of a node's data directory that was
// restored from a history of that size and root, under an act with that digest or
// (zero) none: every node knows every other's without being told.
func RestoredIncarnation(cluster ID, node uint32, size uint64, root, act Digest) ID {
	var w Writer
	w.Raw([]byte("sago restored incarnation v1\n"))
	w.Raw(cluster[:])
	w.U32(node)
	w.U64(size)
	w.Raw(root[:])
	w.Raw(act[:])
	sum := sha256.Sum256(w.Bytes())
	return ID(sum[:len(ID{})])
}

// Ends answers the STORE record's sequence of the bundle that a record decided to
// destroy, or says is destroyed; false for every other record.
func (r *Record) Ends() (store uint64, ends bool, err error) {
	switch r.Action {
	case ActExpire, ActErase:
		e, err := DecodeBundleRef(r.Effect)
		return e.Store, err == nil, err
	case ActClose:
		e, err := DecodeCloseEffect(r.Effect)
		return e.Store, err == nil, err
	case ActSpecialExecute:
		store, err := specialStore(r.Effect)
		return store, err == nil, err
	}
	return 0, false, nil
}

// specialStore is the bundle that the execution of a special deletion names.
func specialStore(effect []byte) (uint64, error) {
	e, err := DecodeActEffect(effect)
	if err != nil {
		return 0, err
	}
	signed, err := DecodeSignedAct(e.Signed)
	if err != nil {
		return 0, err
	}
	act, err := DecodeAct(signed.Document)
	if err != nil {
		return 0, err
	}
	p, err := DecodeSpecialParams(act.Params)
	return p.Store, err
}

// BundleHeadSize is the length in bytes of the head before each bundle in a
// backup's payload file.
const BundleHeadSize = 28

const bundleMagic = 0x5347424b // "SGBK"

// BundleHead stands before a bundle's chunks in a backup's payload file.
type BundleHead struct {
	Store  uint64 // sequence of the STORE record
	Chunks uint32
	Length uint64 // of the chunks with their headers, bytes
}

// Encode returns the BundleHeadSize bytes of h.
func (h BundleHead) Encode() []byte {
	var w Writer
	w.U32(bundleMagic)
	w.U64(h.Store)
	w.U32(h.Chunks)
	w.U64(h.Length)
	w.U32(Checksum(w.Bytes()))
	return w.Bytes()
}

// DecodeBundleHead reads what Encode wrote.
func DecodeBundleHead(b []byte) (BundleHead, error) {
	if len(b) == BundleHeadSize {
		r := NewReader(b)
		magic, h, sum := r.U32(), BundleHead{r.U64(), r.U32(), r.U64()}, r.U32()
		if magic == bundleMagic && sum == Checksum(b[:BundleHeadSize-4]) {
			return h, nil
		}
	}
	return BundleHead{}, fmt.Errorf("%w: bundle head", ErrMalformed)
}

// HeadOf is the head of a bundle that a STORE record describes.
func HeadOf(sequence uint64, e StoreEffect) BundleHead {
	return BundleHead{Store: sequence, Chunks: e.Chunks, Length: e.Sealed + uint64(e.Chunks)*ChunkHeaderSize}
}
