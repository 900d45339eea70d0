package format_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"

	"github.com/sago-worm/sago/store/format"
)

// Fixed values of every kind, and keys whose signatures do not change. They make
// the committed vectors: a change here makes the vectors' test fail.

func id(n byte) (v format.ID) {
	for i := range v {
		v[i] = n + byte(i)
	}
	return v
}

func digest(n byte) format.Digest { return sha256.Sum256([]byte{n}) }

func slot(n uint32) format.Slot { return format.Slot{Block: id(0xa0), Index: n} }

// key is the n-th test key: ECDSA P-256 with 32 bytes of n as private scalar.
func key(n byte) *ecdsa.PrivateKey {
	scalar := make([]byte, 32)
	for i := range scalar {
		scalar[i] = n
	}
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		panic(err)
	}
	return k
}

func public(n byte) []byte {
	der, err := x509.MarshalPKIXPublicKey(key(n).Public())
	if err != nil {
		panic(err)
	}
	return der
}

// sign signs deterministically (RFC 6979).
func sign(n byte, message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := key(n).Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return sig
}

var exampleCluster = id(0x10)

const exampleTime = 1767225600000000 // 2026-01-01T00:00:00Z

func exampleHeader(kind format.FileKind) format.FileHeader {
	h := format.FileHeader{Kind: kind, Cluster: exampleCluster, Incarnation: id(0x31)}
	switch kind {
	case format.KindKeyBlock:
		h.First, h.Object, h.Owner, h.Incarnation = 512, id(0xa0), 2, format.ID{}
		return h
	case format.KindHistory:
		h.First = 41
	}
	h.Number, h.PrevGood, h.PrevTorn = 2, 70000, sha256.Sum256([]byte("torn"))
	return h
}

func exampleStore() format.StoreEffect {
	var digests []format.Digest
	for _, c := range exampleChunks() {
		digests = append(digests, c.Digest)
	}
	return format.StoreEffect{Definition: "MDS0000001", Rule: "P5Y", BasisKind: 1, Slot: slot(9), Size: 1048700, Sealed: 1048900, Chunks: 2,
		Digest: format.BundleDigest(digests), Commitment: digest(0x54), Subject: digest(0x53), Documents: 1}
}

func exampleRecord() format.Record {
	return format.Record{Sequence: 41, Clock: exampleTime, FrontEarliest: exampleTime - 5000, FrontLatest: exampleTime + 5000, Front: 2,
		Action: format.ActStore, Actor: 7, Institution: 1, InstitutionSequence: 17, Transaction: "20260101-0000041", Part: 1, Entry: 120,
		Operation: id(0x70), Effect: format.EncodeEffect(exampleStore()), DetailClass: format.DetailOther, DetailEpoch: 8104,
		Detail: []byte("ciphertext and tag")}
}

func exampleDetail() format.Detail {
	return format.Detail{Purpose: "복지 급여 심사", UserName: "홍길동", Department: "복지과", Subject: "CN=hong", Issuer: "CN=ca", Origin: "192.0.2.7"}
}

func exampleChunks() []format.Chunk {
	whole := format.NewChunk(slot(9), 0, []byte("ciphertext of the first chunk"))
	stub := format.NewChunk(slot(9), 1, []byte("ciphertext that was erased"))
	stub.Erased, stub.Sealed = true, nil
	return []format.Chunk{whole, stub}
}

func exampleDescription() format.Description {
	return format.Description{Fingerprint: digest(0x60), Basis: "주민등록법 제7조",
		Documents: []format.Document{{Name: "주민등록등본.json", MediaType: "application/json", Size: 1048700, Digest: digest(0x61)}}}
}

func exampleCheckpoint() format.Checkpoint {
	return format.Checkpoint{Cluster: exampleCluster, Size: 42, Root: digest(0x80), Entry: 121, Clock: exampleTime + 1, State: digest(0x81)}
}

func exampleSignedCheckpoint() format.CheckpointEffect {
	e := format.CheckpointEffect{Checkpoint: exampleCheckpoint()}
	for _, n := range []byte{1, 3} {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: uint32(n), Incarnation: id(0x30 + n), Signature: sign(n, []byte(e.Checkpoint.Text()))})
	}
	return e
}

func exampleState() format.StateEffect {
	e := format.StateEffect{Mark: exampleCheckpoint(), Rows: digest(0x82), Count: 77}
	for _, n := range []byte{1, 3} {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: uint32(n), Incarnation: id(0x30 + n), Signature: sign(n, e.Message())})
	}
	return e
}

func exampleEpochEnd() format.KeyEffect {
	return format.KeyEffect{Verb: format.KeyEpochEnd, Institution: 1, Epoch: 8104, Use: slot(0), Other: slot(1)}
}

func exampleRewrap() format.KeyEffect {
	return format.KeyEffect{Verb: format.KeyRewrap, Owner: 2, Slots: 4711, Root: digest(0x7a)}
}

func exampleSpent() format.KeyEffect {
	return format.KeyEffect{Verb: format.KeySpent, Block: id(0xa0), Spent: []uint32{3, 7}}
}

func exampleCarry() format.CarryEffect {
	e := format.CarryEffect{Institution: 1, Epoch: 8110, Keys: []format.CarriedKey{{Sequence: 41, Sealed: []byte("sealed key")}, {Sequence: 43}}}
	for _, n := range []byte{1, 3} {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: uint32(n), Incarnation: id(0x30 + n), Signature: sign(n, e.Message(exampleCluster))})
	}
	return e
}

func examplePrune() format.PruneEffect {
	return format.PruneEffect{From: 40, To: 45, Cut: 47, Dropped: 3, Kept: 2, Digest: format.SequencesDigest([]uint64{41, 43})}
}

func exampleBaseHead() format.BaseHead {
	return format.BaseHead{Mark: exampleCheckpoint(), Rows: digest(0x82), Count: 3}
}

func exampleVote(n byte) format.SignedVote {
	v := format.SignedVote{Voter: uint32(n), Incarnation: id(0x30 + n), Round: 5, Earliest: exampleTime, Latest: exampleTime + 2000, BootID: id(0xb0 + n),
		BootReading: 3_600_000_000_000, Evidence: digest(0x90 + n), Commit: 120, Size: 41, Room: 1 << 40}
	v.Signature = sign(n, v.Message(exampleCluster))
	return v
}

func exampleClock() format.ClockEffect {
	return format.ClockEffect{Votes: []format.SignedVote{exampleVote(1), exampleVote(3)}, Now: exampleTime, Start: exampleTime + 2000, Floor: exampleTime - 1}
}

func exampleEpoch() format.KeyEffect {
	return format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 8104, Use: slot(0), Other: slot(1), Subject: slot(2)}
}

func exampleAttest() format.AttestEffect {
	e := format.AttestEffect{Node: 3, Incarnation: id(0x33), From: 99, To: 102, Keys: []uint64{41, 57}, Blocks: []format.ID{id(0xa0), id(0xc0)}}
	e.Signature = sign(3, e.Message(exampleCluster))
	return e
}

func exampleCeremony() format.Ceremony {
	c := format.Ceremony{Production: true, Time: exampleTime,
		Institutions: []format.Institution{{Number: 1, Code: "B551234"}},
		Definitions:  []format.Definition{{Institution: 1, BundleID: "MDS0000001", Version: 1, Grade: 2, Rule: "P5Y"}},
		Authorities:  [][]byte{[]byte("DER of a certificate")},
		Policy: format.Policy{Version: 1, Slack: 3600e6, Agreement: 10e6, MaxYears: 100, SweepWithin: 5e6, Approvals: 2, CoolingOff: 86400e6,
			CheckpointEvery: 60e6, HistoryYears: 3, MinSources: 3,
			Sources: []format.TimeSource{{Name: "kriss", Operator: "KRISS", Auth: "nts", NTSName: "nts.example"}, {Name: "local", Operator: "site", Auth: "sha256", KeyID: 4}}},
	}
	for n := byte(1); n <= 3; n++ {
		c.Nodes = append(c.Nodes, format.CeremonyNode{Number: uint32(n), Name: string([]byte{'n', '0' + n}), Incarnation: id(0x30 + n), PublicKey: public(n)})
	}
	for n := byte(0x11); n <= 0x12; n++ {
		c.Persons = append(c.Persons, format.Person{ID: uint64(n - 0x10), Role: 3, Institution: 1, PublicKey: public(n), Identity: digest(n)})
	}
	return c
}

func exampleAct() format.Act {
	return format.Act{Cluster: exampleCluster, Kind: format.ActKindHoldRelease, Object: []byte("object"), Params: []byte("parameters"), Nonce: id(0x20), Expires: exampleTime}
}

func exampleSignedAct() format.SignedAct {
	a := format.Act{Cluster: exampleCluster, Kind: format.ActKindCeremony, Params: exampleCeremony().Encode(), Nonce: id(0x21)}
	s := format.SignedAct{Document: a.Encode()}
	for n := byte(0x11); n <= 0x12; n++ {
		s.Signatures = append(s.Signatures, format.ActSignature{Person: uint64(n - 0x10), Signature: sign(n, s.Document)})
	}
	return s
}

func exampleKey() format.BundleKey {
	return format.BundleKey{Institution: 1, Transaction: "20260101-0000041", Part: 1}
}

func exampleBundle() format.BundleRow {
	e := exampleStore()
	return format.BundleRow{Store: 41, StoredAt: exampleTime, Definition: e.Definition, Slot: e.Slot, Size: e.Size, Sealed: e.Sealed, Chunks: e.Chunks,
		Digest: e.Digest, Commitment: e.Commitment, Subject: e.Subject, Documents: e.Documents,
		Retention: format.RetentionRow{Rule: "P5Y", Basis: 1, Start: exampleTime + 2000, Deadline: exampleTime + 1, Event: 0, Prior: []string{"P1Y"},
			Holds:     []format.HoldRow{{ID: 1, Owner: 7, Basis: 2, Review: exampleTime}, {ID: 4, Owner: 8, Basis: 1}},
			ViewActor: 7, ViewRequest: id(0x52), ViewReads: 1, ViewGrace: exampleTime}}
}

func exampleMember() format.MemberRow {
	return format.MemberRow{Number: 3, Name: "n3", PublicKey: public(3), Current: id(0x33), Joining: id(0x34), Gone: []format.ID{id(0x43), id(0x23)}, Commit: 120, Size: 41, Room: 1 << 40}
}

func exampleBlock() format.BlockRow {
	return format.BlockRow{Owner: 2, Start: id(0xc0), Slots: 12, Used: []byte{0x07, 0x02}, Retired: 88, Attested: []uint32{2}}
}

func exampleClockRow() format.ClockRow {
	return format.ClockRow{Round: 6, Now: exampleTime, Floor: exampleTime - 1, Ceremony: exampleTime - 1000, Start: exampleTime + 2000,
		Lines: []format.LineRow{{Voter: 1, BootID: id(0xb1), Base: exampleTime - 9, BootAt: 1, Reading: 2}, {Voter: 3, BootID: id(0xb3), Base: exampleTime, BootAt: 5, Reading: 5}}}
}

func exampleParticulars() format.Particulars {
	return format.Particulars{Salt: id(0x67), Requester: "홍길동", Basis: "고시 별표 6", Reason: "유통정지 요청"}
}

func exampleActRow() format.ActRow {
	return format.ActRow{
		Document: exampleAct().Encode(), Institution: 1, Proposer: 2, Proposed: 80, At: exampleTime, Round: 7, CoolingEnd: exampleTime + 5e6, Executed: 100,
		Signatures: []format.PlacedSignature{{Person: 4, Signature: []byte("four"), Sequence: 81}, {Person: 5, Signature: []byte("five"), Sequence: 82}},
	}
}

func exampleHeld() format.HeldRow {
	return format.HeldRow{Scope: format.HoldSubject, Bundle: format.BundleKey{Institution: 1}, Subject: digest(0x62), ID: 7, Owner: 3, Basis: 1,
		Review: exampleTime, Placed: 88, At: exampleTime, Released: 97}
}

func exampleRegister() format.InstitutionEffect {
	return format.InstitutionEffect{
		Verb: format.InstitutionRegister, Number: 2, Code: "B559999", Quota: 1 << 40,
		Officers:    []format.Person{{ID: 9, Role: 3, Institution: 2, PublicKey: public(0x12), Identity: digest(0x12)}},
		Definitions: []format.Definition{{Institution: 2, BundleID: "MDS0000002", Version: 1, Grade: 2, Rule: "P1Y"}},
	}
}

func exampleTenant() format.TenantRow {
	return format.TenantRow{
		State: format.TenantClosing, Since: exampleTime, Quota: 1 << 40, Used: 1 << 20, NoSpecial: true, Act: id(0x60), Close: 101,
		Date: exampleTime + 1e6, Passed: exampleKey().Encode(), Watch: 60, LastUse: 55,
	}
}
