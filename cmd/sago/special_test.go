package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// specialAppliance answers about the one request that there is. The caller damaged
// is shown the fingerprint of another bundle, the caller older no grounds.
type specialAppliance struct {
	sagov1.UnimplementedSpecialDeleteServiceServer
}

var specialID = hex.EncodeToString(bytes.Repeat([]byte{0x5d}, 16))

// specialStore is the STORE record of the bundle, and what opens its commitment.
func specialStore() (record []byte, key, fingerprint [32]byte) {
	key, fingerprint = [32]byte{7}, sha256.Sum256([]byte("document"))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(fingerprint[:])
	e := format.StoreEffect{Definition: "MDS0000001", Rule: "P5Y", BasisKind: 1, Chunks: 1, Documents: 1, Commitment: format.Digest(mac.Sum(nil))}
	rec := format.Record{Sequence: 12, Action: format.ActStore, Institution: 1, Transaction: "T1", Part: 1, Effect: format.EncodeEffect(e)}
	return rec.Encode(), key, fingerprint
}

// specialAct is its act, signed by these persons.
func specialAct(state string, signers ...string) *sagov1.Act {
	record, _, _ := specialStore()
	p := format.Particulars{Salt: format.ID{1}, Requester: "홍길동", Basis: "고시 별표6", Reason: "명령"}
	doc := format.Act{
		Cluster: testCluster, Kind: format.ActKindSpecialDelete, Object: format.ActObject{Institution: 1, Transaction: "T1", Part: 1}.Encode(),
		Params: format.SpecialParams{Particulars: p.Digest(), Store: 12, Leaf: format.LeafHash(record), Order: "O-1"}.Encode(),
		Nonce:  format.ID(bytes.Repeat([]byte{0x5d}, 16)), Expires: 1,
	}
	a := &sagov1.Act{
		Id: specialID, Kind: doc.Kind.String(), State: state, Document: doc.Encode(), Transaction: "T1", Part: 1, Proposer: "officer/2",
		ProposedAt: at, ExpiresAt: at, Needed: 2, HistorySequence: 46,
		Particulars: &sagov1.ActParticulars{Salt: p.Salt[:], Requester: p.Requester, Basis: p.Basis, Reason: p.Reason},
	}
	for _, s := range signers {
		a.Signatures = append(a.Signatures, &sagov1.ActSignature{Actor: s, SignedAt: at})
	}
	if state == "vetoed" {
		a.Vetoed = 61 // the record and one
	}
	return a
}

// Show implements the service: two approvers have signed, and no access manager.
func (specialAppliance) Show(ctx context.Context, r *sagov1.SpecialDeleteServiceShowRequest) (*sagov1.SpecialDeleteServiceShowResponse, error) {
	if r.GetId() != specialID {
		return nil, refusal(codes.NotFound, "NOT_FOUND", "no request has this id")
	}
	a := specialAct("pending", "approver/5", "approver/6")
	if caller(ctx) == "older" {
		a.Particulars = nil
	}
	return &sagov1.SpecialDeleteServiceShowResponse{Request: &sagov1.SpecialDelete{Act: a, State: "pending", Order: "O-1", BundleState: "active"}}, nil
}

// Opening implements the service.
func (specialAppliance) Opening(ctx context.Context, r *sagov1.SpecialDeleteServiceOpeningRequest) (*sagov1.SpecialDeleteServiceOpeningResponse, error) {
	if err := refuse(ctx, ""); err != nil {
		return nil, err
	}
	record, key, fingerprint := specialStore()
	if caller(ctx) == "damaged" {
		fingerprint[0] ^= 1
	}
	return &sagov1.SpecialDeleteServiceOpeningResponse{Fingerprint: client.Fingerprint(fingerprint), CommitmentKey: key[:], StoreRecord: record, Documents: []string{"doc.xml"}}, nil
}

// Show implements the service.
func (holdActs) Show(_ context.Context, r *sagov1.ActServiceShowRequest) (*sagov1.ActServiceShowResponse, error) {
	switch r.GetId() {
	case specialID:
		return &sagov1.ActServiceShowResponse{Act: specialAct("vetoed", "approver/5")}, nil
	case releaseAct(0).GetId():
		return &sagov1.ActServiceShowResponse{Act: releaseAct(0)}, nil
	}
	return nil, refusal(codes.NotFound, "NOT_FOUND", "no act has this id")
}

// TestAPersonAtATerminalIsAsked: only yes signs, and a script is not asked.
func TestAPersonAtATerminalIsAsked(t *testing.T) {
	for typed, signs := range map[string]bool{"yes\n": true, " yes \n": true, "yes": true, "y\n": false, "no\n": false, "\n": false, "": false} {
		var stderr bytes.Buffer
		s := &session{lang: english, ask: strings.NewReader(typed), stderr: &stderr}
		err := s.confirm()
		if (err == nil) != signs {
			t.Errorf("%q: %v", typed, err)
		}
		if err != nil && exitCode(err) != exitFailed {
			t.Errorf("%q: exit %d", typed, exitCode(err))
		}
		if !strings.Contains(stderr.String(), "Sign the above?") {
			t.Errorf("%q: asked %q", typed, stderr.String())
		}
	}
	if err := (&session{lang: english}).confirm(); err != nil {
		t.Errorf("a script was asked: %v", err)
	}
}
