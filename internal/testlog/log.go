// Package testlog is a transparency log in memory with nodes that sign its
// checkpoints, for tests of those who watch logs from outside. Two logs of the
// same nodes may disagree: that is what it is for.
package testlog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// Log is a log that grows as it is told to.
type Log struct {
	Cluster format.ID
	// Clock and Entry are what the next checkpoint carries; Entry counts them.
	Clock  int64
	Entry  uint64
	names  []string
	keys   []*ecdsa.PrivateKey
	hashes []tlog.Hash
	size   int64
}

// New makes an empty log of this many nodes, n1, n2 and so on, with new keys.
func New(nodes int) (*Log, error) {
	l := &Log{Clock: 1_800_000_000_000_000}
	_, _ = rand.Read(l.Cluster[:]) // crypto/rand.Read never fails
	for i := range nodes {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		l.names, l.keys = append(l.names, fmt.Sprintf("n%d", i+1)), append(l.keys, key)
	}
	return l, nil
}

// Fork is a log of the same nodes that begins as this one does.
func (l *Log) Fork() *Log {
	other := *l
	other.hashes = append([]tlog.Hash(nil), l.hashes...)
	return &other
}

// Append adds a record for each text.
func (l *Log) Append(texts ...string) error {
	for _, text := range texts {
		hashes, err := tlog.StoredHashes(l.size, []byte(text), l)
		if err != nil {
			return err
		}
		l.hashes = append(l.hashes, hashes...)
		l.size++
	}
	return nil
}

// Grow adds records, n of them, that this text names.
func (l *Log) Grow(n int, text string) error {
	for i := range n {
		if err := l.Append(fmt.Sprint(text, " ", i)); err != nil {
			return err
		}
	}
	return nil
}

// ReadHashes implements tlog.HashReader.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no hash %d", at)
		}
		out[i] = l.hashes[at]
	}
	return out, nil
}

// Size is the number of records.
func (l *Log) Size() uint64 { return uint64(l.size) }

// RootAt is the root of the first size records.
func (l *Log) RootAt(size uint64) (format.Digest, error) {
	root, err := tlog.TreeHash(int64(size), l)
	return format.Digest(root), err
}

// ProveConsistency is the proof that the first old records begin the first size.
func (l *Log) ProveConsistency(old, size uint64) ([]format.Digest, error) {
	proof, err := tlog.ProveTree(int64(size), int64(old), l)
	var out []format.Digest
	for _, h := range proof {
		out = append(out, format.Digest(h))
	}
	return out, err
}

// Members are the nodes as a member table has them.
func (l *Log) Members() (rows []format.MemberRow) {
	for i, key := range l.keys {
		// A key that was generated here always encodes.
		der, _ := x509.MarshalPKIXPublicKey(key.Public())
		rows = append(rows, format.MemberRow{Number: uint32(i + 1), Name: l.names[i], PublicKey: der})
	}
	return rows
}

// NodeKeys are the nodes as a keys file has them.
func (l *Log) NodeKeys() (keys []format.NoteKey) {
	for _, m := range l.Members() {
		keys = append(keys, format.NoteKey{Name: m.Name, Type: format.NoteECDSA, Key: m.PublicKey})
	}
	return keys
}

// Checkpoint is one over all records, signed by the first signers nodes. Each is
// of a later entry and clock than the one before.
func (l *Log) Checkpoint(signers int) (format.CheckpointEffect, error) {
	l.Entry++
	l.Clock += 1_000_000
	root, err := l.RootAt(l.Size())
	if err != nil {
		return format.CheckpointEffect{}, err
	}
	return l.Sign(format.Checkpoint{Cluster: l.Cluster, Size: l.Size(), Root: root, Entry: l.Entry, Clock: l.Clock, State: root}, signers)
}

// Sign has the first signers nodes sign whatever it says.
func (l *Log) Sign(cp format.Checkpoint, signers int) (format.CheckpointEffect, error) {
	e := format.CheckpointEffect{Checkpoint: cp}
	digest := sha256.Sum256([]byte(cp.Text()))
	for i := range signers {
		signature, err := ecdsa.SignASN1(rand.Reader, l.keys[i], digest[:])
		if err != nil {
			return e, err
		}
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: uint32(i + 1), Signature: signature})
	}
	return e, nil
}
