package replication

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// turnAct is an act of restore over so many records that gives node 2 a new key.
func (c *testCluster) turnAct(s start, size uint64, key []byte, persons ...uint64) []byte {
	p := format.RestoreParams{Size: size, Lost: size, Keys: []format.NodeKey{{Number: 2, PublicKey: key}}}
	doc := format.Act{Cluster: s.act.Cluster, Kind: format.ActKindRestore, Params: p.Encode(), Nonce: randomID()}
	signed := format.SignedAct{Document: doc.Encode()}
	for _, person := range persons {
		signed.Signatures = append(signed.Signatures, format.ActSignature{Person: person, Signature: c.signature(person, doc)})
	}
	return signed.Encode()
}

// TestPeersAreKnownByTheRestoresSince: whoever begins without data has its peers' keys
// from the ceremony and from the acts beside its own key, each signed by two; those
// that a later restore leaves behind go.
func TestPeersAreKnownByTheRestoresSince(t *testing.T) {
	c := newTestCluster(t, 3)
	cfg := Config{Name: "node1", KeyDir: c.keyDir(0), Ceremony: c.ceremony}
	plain, err := readStart(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	var keys [2][]byte
	for i := range keys {
		made, err := CreateKeys(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if keys[i], err = made.PublicKey(); err != nil {
			t.Fatal(err)
		}
	}
	write := func(size uint64, act []byte) {
		t.Helper()
		if err := os.WriteFile(turnFile(c.keyDir(0), size), act, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range [][]byte{c.turnAct(plain, 9, keys[0], testManager), c.turnAct(plain, 9, keys[0], testApprover, testOfficer),
		c.turnAct(plain, 10, keys[0], testManager, testApprover), []byte("no act")} {
		write(9, bad)
		if _, err := readStart(cfg, false); err == nil {
			t.Errorf("%.40x counts", bad)
		}
	}
	write(9, c.turnAct(plain, 9, keys[0], testManager, testApprover))
	write(100, c.turnAct(plain, 100, keys[1], testManager, testApprover))
	s, err := readStart(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	if rows := s.rows(); !bytes.Equal(rows[1].PublicKey, keys[1]) || !bytes.Equal(rows[2].PublicKey, plain.ceremony.Nodes[2].PublicKey) {
		t.Errorf("peers are known as %+v", rows)
	}
	r := &restorer{cfg: RestoreConfig{KeyDir: c.keyDir(0)}, start: s, report: RestoreReport{Params: format.RestoreParams{Size: 50}}}
	if err := r.turn(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(turnFile(c.keyDir(0), 100)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an act that the history does not hold: %v", err)
	}
	if s, err = readStart(cfg, false); err != nil || !bytes.Equal(s.rows()[1].PublicKey, keys[0]) {
		t.Errorf("afterwards: %+v, %v", s.rows(), err)
	}
}

// TestARestoreThatWasCutLeavesNoTurn: an act of a restore whose data directory never got
// its name does not judge the next restore, which takes its place; whoever starts meanwhile
// knows its peers by it; with the data directory it has its name.
func TestARestoreThatWasCutLeavesNoTurn(t *testing.T) {
	c := newTestCluster(t, 3)
	cfg := Config{Name: "node1", KeyDir: c.keyDir(0), DataDir: c.dataDir(0), Ceremony: c.ceremony}
	plain, err := readStart(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	made, err := CreateKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := made.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	known := func(begun bool, want []byte) {
		t.Helper()
		if s, err := readStart(cfg, begun); err != nil || !bytes.Equal(s.rows()[1].PublicKey, want) {
			t.Errorf("node 2 is known by %+v, %v", s.rows()[1], err)
		}
	}
	cut := func(size uint64) {
		t.Helper()
		act := c.turnAct(plain, size, fresh, testManager, testApprover)
		r := &restorer{cfg: RestoreConfig{KeyDir: cfg.KeyDir}, start: plain, act: act, params: format.RestoreParams{Size: size, Keys: []format.NodeKey{{Number: 2, PublicKey: fresh}}}}
		r.report.Params.Size = size
		if err := r.turn(); err != nil {
			t.Fatal(err)
		}
	}
	old := plain.ceremony.Nodes[1].PublicKey
	cut(9)
	known(false, old)
	known(true, fresh)
	if err := settleTurns(cfg.KeyDir, cfg.DataDir); err != nil { // there is no data directory
		t.Fatal(err)
	}
	known(false, old)
	cut(12) // takes the place of the first
	if begun, err := begunTurns(cfg.KeyDir); err != nil || len(begun) != 1 || begun[0] != turnFile(cfg.KeyDir, 12)+begunSuffix {
		t.Errorf("%v, %v", begun, err)
	}
	if err := store.Create(cfg.DataDir, store.Manifest{Cluster: plain.act.Cluster, Node: 1, Incarnation: format.ID{1}, Ceremony: plain.digest}); err != nil {
		t.Fatal(err)
	}
	if err := settleTurns(cfg.KeyDir, cfg.DataDir); err != nil {
		t.Fatal(err)
	}
	known(false, fresh)
	s, err := readStart(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.judged(errors.New("too few signed"), cfg.KeyDir); !strings.Contains(err.Error(), turnFile(cfg.KeyDir, 12)) {
		t.Errorf("the error names no file: %v", err)
	}
}

// TestAnActThatExpiredIsRefusedBeforeAnything changes, by the clock of what survived.
func TestAnActThatExpiredIsRefusedBeforeAnything(t *testing.T) {
	c := newTestCluster(t, 1)
	s, err := readStart(Config{Name: "node1", KeyDir: c.keyDir(0), Ceremony: c.ceremony}, false)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := LoadKeys(c.keyDir(0))
	if err != nil {
		t.Fatal(err)
	}
	p := format.RestoreParams{Size: 9, Lost: 9}
	for clock, want := range map[int64]error{testBase + 6: nil, testBase + 7: store.ErrRestoreExpired} {
		act := format.Act{Cluster: s.act.Cluster, Kind: format.ActKindRestore, Params: p.Encode(), Expires: testBase + 7}
		r := &restorer{cfg: RestoreConfig{Act: &format.SignedAct{Document: act.Encode()}}, start: s, keys: keys, attestor: &attestor{}, act: []byte{1}, params: p,
			choice: &backup.Choice{Checkpoint: format.Checkpoint{Size: 9, Clock: clock}}}
		if err := r.settleAct(); !errors.Is(err, want) || (err != nil) != (want != nil) {
			t.Errorf("a history that goes to %d: %v", clock, err)
		}
	}
}
