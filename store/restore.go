package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// A restored log goes on where the surviving history ends. Its first record,
// RESTORE, is written by the restore itself, the same on every node: who restores
// from another history gets other incarnations and meets nobody.

// RestoreGap is how many log entries are left out between the surviving history
// and a restored log, so that no entry of the lost one has the number of a new one.
const RestoreGap = 1 << 20

// Restored is where a restored log begins.
type Restored struct {
	// Sequence is that of the RESTORE record, Entry that of the log behind which raft
	// begins.
	Sequence, Entry uint64
	Members         []format.MemberRow
}

// restoredFrom is what the incarnations of a restored cluster follow from: root and
// act. p are the act's particulars, zero without one.
func (m *Machine) restoredFrom(sequence uint64, e format.ActEffect) (root, act format.Digest, p format.RestoreParams, err error) {
	if root, err = m.log.RootAt(sequence); err != nil || len(e.Signed) == 0 {
		return root, act, p, err
	}
	signed, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return root, act, p, err
	}
	document, err := format.DecodeAct(signed.Document)
	if err == nil {
		p, err = format.DecodeRestoreParams(document.Params)
	}
	return root, sha256.Sum256(signed.Document), p, err
}

// foldRestore gives every node the incarnation of its restored data directory:
// the ones before it are gone, with all that they still hold. Nodes whose keys are
// lost have those that the act names. With an act, keys may have left that the history
// does not know of. A loss that was declared stops expiry until an
// act confirms that lost holds and extensions stand again.
func (m *Machine) foldRestore(rec *format.Record) error {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return err
	}
	root, act, p, err := m.restoredFrom(rec.Sequence, e)
	if err != nil {
		return err
	}
	if err := m.foldNodeKeys(p.Keys); err != nil {
		return err
	}
	for _, n := range m.numbers() {
		row := m.members[n]
		if row.Current == (format.ID{}) {
			continue
		}
		row.Gone = append(slices.Clone(row.Gone), row.Current)
		if row.Joining != (format.ID{}) {
			row.Gone = append(row.Gone, row.Joining)
		}
		row.Current, row.Joining = format.RestoredIncarnation(m.own.cluster, n, rec.Sequence, root, act), format.ID{}
		row.Commit, row.Size, row.Room = 0, 0, 0
		if err := m.putMember(row); err != nil {
			return err
		}
	}
	if len(e.Signed) == 0 {
		return nil
	}
	if err := m.foldKeysLost(rec); err != nil || !p.DeclaresLoss() {
		return err
	}
	return m.set(tMeta, []byte(metaRestored), key64(rec.Sequence))
}

// foldNodeKeys gives members the keys that an act of restore names for them.
func (m *Machine) foldNodeKeys(keys []format.NodeKey) error {
	for _, k := range keys {
		row, known := m.members[k.Number]
		if !known || len(row.PublicKey) == 0 {
			return fmt.Errorf("a key for node %d, which is no member", k.Number)
		}
		for _, other := range m.members {
			if bytes.Equal(other.PublicKey, k.PublicKey) {
				return fmt.Errorf("node %d has the key that is named for node %d", other.Number, k.Number)
			}
		}
		row.PublicKey = k.PublicKey
		if err := m.putMember(row); err != nil {
			return err
		}
	}
	return nil
}

// checkRestoreConfirm refuses a confirmation where nothing waits for one.
func (m *Machine) checkRestoreConfirm(a *openAct) error {
	if len(a.doc.Params) != len(format.Digest{}) {
		return refuse(format.ReasonInvalid, "a confirmation has particulars alone")
	}
	stopped, err := m.expiryStopped()
	if err == nil && !stopped {
		err = refuse(format.ReasonState, "no restore with a declared loss waits to be confirmed")
	}
	return err
}

// foldRestoreConfirm ends what a declared loss stopped.
func (m *Machine) foldRestoreConfirm() error { return m.set(tMeta, []byte(metaRestored), nil) }

// expiryStopped reports whether a declared loss waits to be confirmed: nothing
// expires meanwhile.
func (m *Machine) expiryStopped() (bool, error) {
	v, err := m.idx.Get(tMeta, []byte(metaRestored))
	return v != nil, err
}

// ExpiryStopped reports whether a restore with declared loss waits for the act
// that confirms it.
func (m *Machine) ExpiryStopped() (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.expiryStopped()
}

// numbers are those of the member table, ascending.
func (m *Machine) numbers() []uint32 {
	out := make([]uint32, 0, len(m.members))
	for n := range m.members {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// BeginRestored writes the RESTORE record behind an adopted history and leaves the
// Machine where the restored log begins. signed is the act that declares a loss;
// none when nothing that was signed is missing.
func (s *Store) BeginRestored(signed []byte) (Restored, error) {
	out, err := s.writeRestored(signed)
	if err != nil {
		return out, err
	}
	out.Members = s.Members()
	return out, s.Flush()
}

func (s *Store) writeRestored(signed []byte) (out Restored, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ceremony == nil || s.next != s.log.Size() {
		return out, errors.New("a history that was not followed to its end")
	}
	if err := s.checkRestoreTime(signed); err != nil {
		return out, err
	}
	e := format.ActEffect{Signed: signed}
	root, act, _, err := s.restoredFrom(s.next, e)
	if err != nil {
		return out, err
	}
	inst, err := s.institution(0)
	if err != nil {
		return out, err
	}
	out.Sequence, out.Entry = s.next, max(s.applied, s.checkpoint.Checkpoint.Entry)+RestoreGap
	rec := format.Record{Sequence: out.Sequence, Clock: s.clock.Now, Action: format.ActRestore, InstitutionSequence: inst.Records, Entry: out.Entry,
		Operation: format.RestoredIncarnation(s.own.cluster, 0, out.Sequence, root, act), Effect: format.EncodeEffect(e)}
	encoded := rec.Encode()
	if len(encoded) > format.MaxRecord {
		return out, fmt.Errorf("record of %d bytes", len(encoded))
	}
	if _, _, err := s.log.Append(encoded); err != nil {
		return out, err
	}
	return out, s.follow(encoded)
}

func (s *Store) checkRestoreTime(signed []byte) error {
	if len(signed) == 0 {
		return nil
	}
	act, err := format.DecodeSignedAct(signed)
	if err != nil {
		return err
	}
	return CheckRestoreTime(act.Document, s.clock.Now, s.ceremony.time)
}

// Unpaid are the live bundles that no chunk here makes whole: those stored after
// the backup that a node was restored from.
func (s *Store) Unpaid(ctx context.Context) (bundles uint64, err error) {
	err = s.eachUnpaid(ctx, func(*format.BundleRow) { bundles++ })
	return bundles, err
}

// CheckRestoreAct reads the act that declares a loss and checks its signatures: two
// distinct persons that the ceremony lists, who sign for the appliance, one of them
// an access manager (권한관리책임자).
func CheckRestoreAct(signed format.SignedAct, cluster format.ID, c format.Ceremony) (format.RestoreParams, error) {
	act, err := format.DecodeAct(signed.Document)
	if err != nil {
		return format.RestoreParams{}, fmt.Errorf("act: %w", err)
	}
	p, err := format.DecodeRestoreParams(act.Params)
	switch {
	case err != nil:
		return p, fmt.Errorf("act: %w", err)
	case act.Kind != format.ActKindRestore:
		return p, fmt.Errorf("the act is of kind %d, not a restore", act.Kind)
	case act.Cluster != cluster:
		return p, fmt.Errorf("the act is of cluster %x", act.Cluster[:])
	}
	if err := CheckNodeKeys(p.Keys); err != nil {
		return p, fmt.Errorf("act: %w", err)
	}
	listed, managers := restoreSigners(c)
	// Two always, as for a ceremony of production.
	if err := access.CheckCeremonySignatures(signed.Document, true, listed, signaturesOf(signed)); err != nil {
		return p, fmt.Errorf("act: %w", err)
	}
	if !slices.ContainsFunc(signed.Signatures, func(s format.ActSignature) bool { return slices.Contains(managers, s.Person) }) {
		return p, errors.New("act: no access manager has signed")
	}
	return p, nil
}

// ErrRestoreExpired refuses an act of restore whose time has passed.
var ErrRestoreExpired = errors.New("the act of restore has expired: draft a new one")

// CheckRestoreTime refuses an act that had expired at the newest reading of the
// surviving history's clock, microseconds; where that has none yet, at the time that
// the ceremony's persons compared. No other clock can be known before a restore.
func CheckRestoreTime(document []byte, clock, ceremony int64) error {
	act, err := format.DecodeAct(document)
	if err != nil {
		return fmt.Errorf("act: %w", err)
	}
	if now := max(clock, ceremony); act.Expires <= now {
		at := func(t int64) string { return time.UnixMicro(t).UTC().Format(time.RFC3339) }
		return fmt.Errorf("%w: it was good until %s, the history goes to %s", ErrRestoreExpired, at(act.Expires), at(now))
	}
	return nil
}

// CheckNodeKeys checks new node keys: ECDSA P-256, for ascending numbers, each once.
func CheckNodeKeys(keys []format.NodeKey) error {
	seen := map[string]bool{}
	for i, k := range keys {
		pub, err := x509.ParsePKIXPublicKey(k.PublicKey)
		if key, ok := pub.(*ecdsa.PublicKey); err != nil || !ok || key.Curve != elliptic.P256() {
			return fmt.Errorf("the key of node %d is not ECDSA P-256", k.Number)
		}
		if k.Number == 0 || i > 0 && k.Number <= keys[i-1].Number || seen[string(k.PublicKey)] {
			return fmt.Errorf("the key of node %d stands twice, or in no order", k.Number)
		}
		seen[string(k.PublicKey)] = true
	}
	return nil
}

// restoreSigners are the ceremony's persons who sign for the appliance, as operator
// finds them in the state, and the access managers among them.
func restoreSigners(c format.Ceremony) (listed []access.Signatory, managers []uint64) {
	persons := slices.Clone(c.Persons)
	slices.SortStableFunc(persons, func(a, b format.Person) int { return cmp.Compare(a.Institution, b.Institution) })
	for len(persons) > 0 {
		of := persons[0].Institution
		n := slices.IndexFunc(persons, func(p format.Person) bool { return p.Institution != of })
		if n < 0 {
			n = len(persons)
		}
		listed, managers = nil, nil
		for _, p := range persons[:n] {
			who := signerOf(&p)
			if access.Decide(who.Principal, access.VerbActSign) == nil {
				listed = append(listed, access.Signatory{ID: p.ID, PublicKey: p.PublicKey, Identity: p.Identity})
			}
			if who.Role == access.RoleManager {
				managers = append(managers, p.ID)
			}
		}
		if len(managers) > 0 && len(listed) > 1 {
			return listed, managers
		}
		persons = persons[n:]
	}
	return nil, nil
}

// TakeBlocks installs the key blocks that another data directory holds, sealed
// under a root key: slots that the state knows to be dead are cleared. It answers
// how many there were. Blocks that the state does not know are left alone.
func (s *Store) TakeBlocks(dir string, root RootKey) (blocks int, err error) {
	ring, err := keyring.Open(dir, root, s.manifest.Cluster, nil)
	if err != nil {
		return 0, err
	}
	for _, id := range ring.Blocks() {
		row, err := s.Block(id)
		if err != nil {
			return blocks, err
		}
		if row == nil {
			continue
		}
		b, damaged, err := ring.Export(id)
		if err != nil {
			return blocks, err
		}
		for _, i := range damaged {
			if b.Absent != nil && b.Absent[i] {
				continue
			}
			lives, err := s.SlotLives(format.Slot{Block: id, Index: i})
			if err == nil && lives && row.IsUsed(i) {
				err = &format.DamageError{File: keyring.FileName(id), Offset: keyring.SlotOffset(i), What: "key slot; is this its root key?"}
			}
			if err != nil {
				b.Wipe()
				return blocks, err
			}
			b.Erased[i] = true // nothing was sealed under it
		}
		err = s.InstallBlock(b)
		b.Wipe()
		if err != nil {
			return blocks, err
		}
		blocks++
	}
	return blocks, nil
}

// DestroyUnfinished destroys a directory in which a restore was cut short.
func DestroyUnfinished(dir string) error { return custodian.DestroyAside(dir) }
