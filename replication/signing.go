package replication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// signedFile stands beside the node key: what that key last signed.
const signedFile = "signed"

// ErrWontSign says that this node does not put its key to a checkpoint, because it
// would contradict one that it signed, or because what it reads again from its
// disk is not what it computed.
var ErrWontSign = errors.New("does not sign")

// errNotWritten says that what is signed could not be written down first.
var errNotWritten = errors.New("what was signed cannot be written down")

// signed is the last checkpoint that the node key signed, whole: it proves what
// this node vouched for, to whoever meets another history of it (P54).
type signed struct {
	Text        string `json:"text"`
	Signature   []byte `json:"signature"`
	Incarnation string `json:"incarnation"`
}

// tree is what a signer asks of a history.
type tree interface {
	RootAt(size uint64) (format.Digest, error)
	Frontier(size uint64) (store.Frontier, error)
	Extend(ctx context.Context, f *store.Frontier, to uint64) error
}

// signer signs checkpoints with the node key, each consistent with all before.
// What it signed outlives the data directory and its incarnations.
type signer struct {
	path string
	key  func(message []byte) ([]byte, error)

	// signing is held by the one signature that is being made, which may read many
	// records; mu only while have and last change, so that nobody who asks waits.
	signing sync.Mutex
	mu      sync.Mutex
	have    signed
	last    format.Checkpoint // of have; zero before the first
	// again is computed from the records as they were read again, from last on.
	again *store.Frontier
}

func openSigner(dir string, key func([]byte) ([]byte, error)) (*signer, error) {
	s := &signer{path: filepath.Join(dir, signedFile), key: key}
	if err := readSummed(s.path, "signed checkpoint", &s.have); err != nil {
		return nil, err
	}
	if s.have.Text == "" {
		return s, nil
	}
	var err error
	if s.last, err = format.ParseCheckpoint(s.have.Text); err != nil {
		return nil, &format.DamageError{File: s.path, Offset: -1, What: "signed checkpoint", Err: err}
	}
	return s, nil
}

// newest is the last checkpoint that the key signed, zero before the first, and
// whether the given incarnation signed it.
func (s *signer) newest(incarnation format.ID) (c format.Checkpoint, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.have.Incarnation == hex.EncodeToString(incarnation[:])
}

// sign signs a checkpoint that this node computed, if it is consistent with the
// last one signed and with the records on disk. It is written down before the
// signature is answered. An error is ErrWontSign, ctx's, or the key's or the
// disk's.
func (s *signer) sign(ctx context.Context, t tree, incarnation format.ID, c format.Checkpoint) ([]byte, error) {
	s.signing.Lock()
	defer s.signing.Unlock()
	v := signed{Text: c.Text(), Incarnation: hex.EncodeToString(incarnation[:])}
	if v.Text == s.have.Text && v.Incarnation == s.have.Incarnation {
		return s.have.Signature, nil
	}
	if err := s.follows(t, c); err != nil {
		return nil, err
	}
	if err := s.readAgain(ctx, t, c); err != nil {
		return nil, err
	}
	var err error
	if v.Signature, err = s.key([]byte(v.Text)); err != nil {
		return nil, err
	}
	if err := writeSummed(s.path, "signed checkpoint", v); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotWritten, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have, s.last = v, c
	return v.Signature, nil
}

// forget puts aside what the key last signed, under the act that declares it lost:
// the log goes on behind it, and the node must sign again.
func (s *signer) forget() error {
	if s.have.Text == "" {
		return nil
	}
	if err := writeSummed(fmt.Sprintf("%s.lost-%d", s.path, s.last.Size), "signed checkpoint", s.have); err != nil {
		return err
	}
	return writeSummed(s.path, "signed checkpoint", signed{})
}

// vouch is sign for whoever signs something else about a MARK, at which a later
// checkpoint may have been signed already: then its history must be that one's
// beginning.
func (s *signer) vouch(ctx context.Context, t tree, incarnation format.ID, c format.Checkpoint) error {
	last, _ := s.newest(incarnation)
	if c.Size >= last.Size && c.Entry >= last.Entry {
		_, err := s.sign(ctx, t, incarnation, c)
		return err
	}
	for _, signed := range []format.Checkpoint{last, c} {
		root, err := t.RootAt(signed.Size)
		if err != nil {
			return err
		}
		if root != signed.Root {
			return fmt.Errorf("%w for size %d: its first %d records do not have the root that it signed", ErrWontSign, c.Size, signed.Size)
		}
	}
	return nil
}

// follows refuses a checkpoint that contradicts the last one signed.
func (s *signer) follows(t tree, c format.Checkpoint) error {
	last := s.last
	no := func(f string, args ...any) error {
		return fmt.Errorf("%w a checkpoint of size %d at entry %d: "+f, append([]any{ErrWontSign, c.Size, c.Entry}, args...)...)
	}
	switch {
	case last == format.Checkpoint{}:
		return nil
	case c.Cluster != last.Cluster:
		return no("it signed for another cluster")
	case c.Size < last.Size:
		return no("it signed size %d", last.Size)
	case c.Size == last.Size && c.Root != last.Root:
		return no("it signed another root of that size")
	case c.Entry < last.Entry || c.Clock < last.Clock:
		return no("it signed entry %d and clock %d, this clock is %d", last.Entry, last.Clock, c.Clock)
	case c.Entry == last.Entry && c != last:
		return no("it signed another state at that entry")
	}
	root, err := t.RootAt(last.Size)
	if err != nil {
		return err
	}
	if root != last.Root {
		return no("its own first %d records do not have the root that it signed", last.Size)
	}
	return nil
}

// readAgain reads the records since the last signature again and computes the
// root from them and the subtrees that were signed (P52).
func (s *signer) readAgain(ctx context.Context, t tree, c format.Checkpoint) error {
	no := func(err error) error {
		return fmt.Errorf("%w a checkpoint of size %d: what is on disk is not what was hashed: %w", ErrWontSign, c.Size, err)
	}
	if s.again == nil || s.again.Size() > c.Size {
		f, err := t.Frontier(s.last.Size)
		if err != nil {
			return no(err)
		}
		if s.last.Size > 0 && f.Root() != s.last.Root {
			return no(treeDamage(s.last.Size))
		}
		s.again = &f
	}
	if err := t.Extend(ctx, s.again, c.Size); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // the next call goes on from there
		}
		return no(err)
	}
	if s.again.Root() != c.Root {
		s.again = nil
		return no(treeDamage(c.Size))
	}
	return nil
}

// againAtOnce is how many records are read again before requests are asked for.
const againAtOnce = 2048

// besideRequests is a tree whose records are read again in pieces, none of which begins
// while a request is on its way: after a night's expiry there are a million of them.
type besideRequests struct {
	tree
	requests *requests
}

func (b besideRequests) Extend(ctx context.Context, f *store.Frontier, to uint64) error {
	for {
		b.requests.giveWay(ctx, giveWayMost)
		piece := min(f.Size()+againAtOnce, to)
		if err := b.tree.Extend(ctx, f, piece); err != nil || piece == to {
			return err
		}
	}
}

func treeDamage(size uint64) error {
	return &format.DamageError{File: "history.tree", Offset: -1, What: fmt.Sprintf("stored hashes do not give the root of the first %d records", size)}
}

// signMark signs what this node itself computed at a MARK, once that history is
// on disk, and only if it is what is asked for.
func (n *Node) signMark(ctx context.Context, entry uint64, text string) (format.NodeSignature, error) {
	var s format.NodeSignature
	if n.failed() != nil || n.fsm.copying.Load() {
		return s, errors.New("does not sign: its state is not whole")
	}
	mine, err := n.awaitMark(ctx, entry)
	if err != nil {
		return s, err
	}
	if mine.Text() != text {
		return s, fmt.Errorf("does not sign: computed another state at entry %d", entry)
	}
	if err := n.settleHistory(); err != nil {
		return s, err
	}
	sig, err := n.signer.sign(ctx, besideRequests{n.store, &n.requests}, n.own.incarnation, mine)
	n.refused(err)
	return format.NodeSignature{Node: n.own.number, Incarnation: n.own.incarnation, Signature: sig}, err
}

// settleHistory puts the history on disk and writes down what is there: both come
// before a signature over it.
func (n *Node) settleHistory() error {
	if err := n.store.SyncHistory(); err != nil {
		n.fail(err)
		return err
	}
	return n.writeDown()
}

// refused takes in why a signature was not given: what is on disk is damaged, or
// what was signed could not be written down.
func (n *Node) refused(err error) {
	var d *format.DamageError
	switch {
	case errors.Is(err, errNotWritten):
		n.fail(err)
	case errors.As(err, &d):
		n.log.Error("refuses to sign: damage", "error", err)
		n.heal.add(wound{kind: format.DamageHistory, where: d.Error()})
	case errors.Is(err, ErrWontSign):
		n.log.Error("refuses to sign", "error", err)
	}
}
