package witness

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// What is kept as proof begins with one of these words.
const (
	// fork: the two signed checkpoints cannot be of one history.
	fork = "fork"
	// rollback: the later of the two is of fewer records.
	rollback = "rollback"
	// suspicion: the proof that came along does not lead from one to the other.
	// Whoever sent it may have made it up, so it proves nothing alone.
	suspicion = "suspicion"
)

// contradiction says what two signed checkpoints of one origin prove by
// themselves, or "". Size, log entry and clock of a history only grow together,
// and a size has one root and one state.
func contradiction(kept, offered format.Checkpoint) string {
	switch {
	case offered.Size == kept.Size:
		if offered.Root != kept.Root || offered.State != kept.State {
			return fork
		}
	case offered.Size < kept.Size:
		if offered.Entry >= kept.Entry || offered.Clock > kept.Clock {
			return rollback
		}
	case offered.Entry <= kept.Entry || offered.Clock < kept.Clock:
		return fork
	}
	return ""
}

// proven says what a consistency proof that does not verify shows: a fork, when
// it leads to the offered root, for then it names what the offered tree holds in
// the place of the kept one; else nothing but a suspicion.
func proven(proof tlog.TreeProof, kept, offered format.Checkpoint) string {
	begins, whole, ok := roots(proof, offered.Size, kept.Size)
	if ok && whole == offered.Root && begins != kept.Root {
		return fork
	}
	return suspicion
}

// roots computes, from the RFC 6962 consistency proof between two trees, the root
// of the smaller and of the larger. It answers nothing where the smaller tree is
// a whole subtree of the larger: the proof leaves its root out then.
func roots(proof tlog.TreeProof, size, old uint64) (begins, whole format.Digest, ok bool) {
	if old == 0 || old >= size || old&(old-1) == 0 {
		return begins, whole, false
	}
	o, w, rest := walk(proof, size, old)
	return format.Digest(o), format.Digest(w), rest != nil && len(rest) == 0
}

// walk takes a subtree of size leaves of which the first old, but not all, are
// the old tree's, or all (old == size); rest is nil when hashes are missing.
func walk(proof tlog.TreeProof, size, old uint64) (begins, whole tlog.Hash, rest tlog.TreeProof) {
	if old == size {
		if len(proof) == 0 {
			return begins, whole, nil
		}
		return proof[0], proof[0], proof[1:]
	}
	left := uint64(1) << (bits.Len64(size-1) - 1) // the greatest power of two below size
	if old <= left {
		begins, whole, rest = walk(proof, left, old)
		if len(rest) == 0 {
			return begins, whole, nil
		}
		return begins, tlog.NodeHash(whole, rest[0]), rest[1:]
	}
	begins, whole, rest = walk(proof, size-left, old-left)
	if len(rest) == 0 {
		return begins, whole, nil
	}
	return tlog.NodeHash(rest[0], begins), tlog.NodeHash(rest[0], whole), rest[1:]
}
