package client_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// signer is a node that signs checkpoints.
type signer struct {
	client.NodeKey
	key *ecdsa.PrivateKey
}

func newSigner(t testing.TB, name string) signer {
	key := newKey(t)
	return signer{client.NodeKey{Name: name, PublicKey: pkixOf(t, key)}, key}
}

// line is a C2SP signature line of type 0x02, written by hand.
func (s signer) line(t testing.TB, text string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256([]byte(s.Name + "\n\x02" + string(s.PublicKey)))
	return "— " + s.Name + " " + base64.StdEncoding.EncodeToString(append(id[:4:4], sig...)) + "\n"
}

func keys(signers ...signer) (ks []client.NodeKey) {
	for _, s := range signers {
		ks = append(ks, s.NodeKey)
	}
	return ks
}

var testCluster = format.ID{1, 2, 3}

func testCheckpoint() format.Checkpoint {
	return format.Checkpoint{Cluster: testCluster, Size: 12, Root: format.Digest{7}, Entry: 40, Clock: 1_800_000_000_000_000, State: format.Digest{9}}
}

func TestP47_VerifyCheckpoint(t *testing.T) {
	n1, n2, n3, witness := newSigner(t, "node1"), newSigner(t, "node2"), newSigner(t, "node3"), newSigner(t, "witness")
	stranger := newSigner(t, "node3") // another key under a pinned name
	text := testCheckpoint().Text()
	foreign := strings.TrimSuffix(n1.line(t, text), "\n")
	for _, c := range []struct {
		name, note string
		signers    string // "!" when the note is refused
	}{
		{"three", text + "\n" + n3.line(t, text) + n1.line(t, text) + n2.line(t, text), "node1 node2 node3"},
		{"one twice", text + "\n" + n1.line(t, text) + n1.line(t, text), "node1"},
		{"a witness beside", text + "\n" + witness.line(t, text) + n2.line(t, text), "node2"},
		{"another key under a node's name", text + "\n" + stranger.line(t, text), ""},
		{"a signature over another text", text + "\n" + n1.line(t, text) + n2.line(t, text+"x"), "!"},
		{"a changed text", strings.Replace(text, "\n12\n", "\n13\n", 1) + "\n" + n1.line(t, text), "!"},
		{"no signatures", text + "\n", "!"},
		{"no empty line", text + n1.line(t, text), "!"},
		{"a line cut short", text + "\n" + foreign, "!"},
		{"a line of nonsense", text + "\n" + "- node1 AAAA\n", "!"},
		{"an empty line between", text + "\n" + n1.line(t, text) + "\n" + n2.line(t, text), "!"},
		{"no checkpoint", "hello\n\n" + n1.line(t, "hello\n"), "!"},
		{"nothing", "", "!"},
	} {
		cp, signers, err := client.VerifyCheckpoint(c.note, keys(n1, n2, n3))
		if c.signers == "!" {
			if !errors.Is(err, client.ErrIntegrity) || len(signers) > 0 {
				t.Errorf("%s: %v %v", c.name, signers, err)
			}
			continue
		}
		if err != nil || strings.Join(signers, " ") != c.signers || cp != testCheckpoint() {
			t.Errorf("%s: %v %v %+v", c.name, signers, err, cp)
		}
	}
}

func TestVerifyHistory(t *testing.T) {
	n1, n2, n3 := newSigner(t, "node1"), newSigner(t, "node2"), newSigner(t, "node3")
	note := func(cp format.Checkpoint, by ...signer) string {
		text := cp.Text()
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n", text)
		for _, s := range by {
			b.WriteString(s.line(t, text))
		}
		return b.String()
	}
	foreign := testCheckpoint()
	foreign.Cluster[0]++
	root := make([]byte, 32)
	root[0] = 7
	for _, c := range []struct {
		name   string
		answer *sagov1.HistoryServiceVerifyResponse
		good   bool
	}{
		{"a majority", &sagov1.HistoryServiceVerifyResponse{Size: 20, Intact: true, Checkpoint: note(testCheckpoint(), n1, n3)}, true},
		{"at the checkpoint itself", &sagov1.HistoryServiceVerifyResponse{Size: 12, Root: root, Intact: true, Checkpoint: note(testCheckpoint(), n1, n2, n3)}, true},
		{"none yet", &sagov1.HistoryServiceVerifyResponse{Size: 3, Intact: true}, true},
		{"a minority", &sagov1.HistoryServiceVerifyResponse{Size: 20, Intact: true, Checkpoint: note(testCheckpoint(), n1)}, false},
		{"another cluster", &sagov1.HistoryServiceVerifyResponse{Size: 20, Intact: true, Checkpoint: note(foreign, n1, n2)}, false},
		{"fewer records than were signed", &sagov1.HistoryServiceVerifyResponse{Size: 11, Intact: true, Checkpoint: note(testCheckpoint(), n1, n2)}, false},
		{"another root", &sagov1.HistoryServiceVerifyResponse{Size: 12, Root: make([]byte, 32), Intact: true, Checkpoint: note(testCheckpoint(), n1, n2)}, false},
		{"the node says it is not intact", &sagov1.HistoryServiceVerifyResponse{Size: 20, Checkpoint: note(testCheckpoint(), n1, n2)}, false},
		{"the node names damage", &sagov1.HistoryServiceVerifyResponse{Size: 20, Intact: true, Damage: []string{"history/1 record 4"}, Checkpoint: note(testCheckpoint(), n1, n2)}, false},
	} {
		ca := newAuthority(t, always)
		n := &node{history: history{verify: func() (*sagov1.HistoryServiceVerifyResponse, error) { return c.answer, nil }}}
		cl := openContext(t, client.Context{
			Endpoints: []string{n.serve(t, ca.server(), ca.cert)}, Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client(),
			ClusterID: testCluster, Nodes: keys(n1, n2, n3),
		})
		proof, err := cl.VerifyHistory(t.Context())
		if proof == nil || proof.Needed != 2 || (c.good && err != nil) || (!c.good && !errors.Is(err, client.ErrIntegrity)) {
			t.Errorf("%s: %+v %v", c.name, proof, err)
		}
	}
}

func TestShowRecord(t *testing.T) {
	rec := format.Record{Sequence: 5, Action: format.ActStore, Transaction: "T1", Institution: 1}
	encoded := rec.Encode()
	leaf := format.LeafHash(encoded)
	honest := func() *sagov1.HistoryServiceShowResponse {
		return &sagov1.HistoryServiceShowResponse{
			Record:  &sagov1.HistoryRecord{Sequence: 5, Action: "STORE", Transaction: "T1", LeafHash: leaf[:]},
			Encoded: encoded,
		}
	}
	for _, c := range []struct {
		name   string
		change func(*sagov1.HistoryServiceShowResponse)
		good   bool
	}{
		{"honest", func(*sagov1.HistoryServiceShowResponse) {}, true},
		{"other bytes", func(r *sagov1.HistoryServiceShowResponse) { r.Encoded = append([]byte{}, encoded...); r.Encoded[9]++ }, false},
		{"no bytes", func(r *sagov1.HistoryServiceShowResponse) { r.Encoded = nil }, false},
		{"another leaf", func(r *sagov1.HistoryServiceShowResponse) { r.Record.LeafHash = make([]byte, 32) }, false},
		{"another action", func(r *sagov1.HistoryServiceShowResponse) { r.Record.Action = "READ" }, false},
		{"another transaction", func(r *sagov1.HistoryServiceShowResponse) { r.Record.Transaction = "T2" }, false},
		{"another record", func(r *sagov1.HistoryServiceShowResponse) { r.Record.Sequence = 6 }, false},
	} {
		answer := honest()
		c.change(answer)
		cl := open(t, &node{history: history{show: func(*sagov1.HistoryServiceShowRequest) (*sagov1.HistoryServiceShowResponse, error) {
			return answer, nil
		}}})
		_, err := cl.ShowRecord(t.Context(), 5)
		if c.good != (err == nil) || (!c.good && !errors.Is(err, client.ErrIntegrity)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
