package service

import (
	"encoding/hex"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sago-worm/sago/access"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// instant is a timestamp; nil for an instant that is unset.
func instant(us int64) *timestamppb.Timestamp {
	if us == 0 {
		return nil
	}
	return timestamppb.New(retention.Instant(us).Time())
}

// micros is a timestamp as an instant; 0 for none.
func micros(t *timestamppb.Timestamp) (int64, error) {
	if t == nil {
		return 0, nil
	}
	if err := t.CheckValid(); err != nil {
		return 0, invalid(format.ReasonInvalid, "not a time: %v", err)
	}
	return int64(retention.FromTime(t.AsTime())), nil
}

// fingerprintOf is the fingerprint of documents that have their digests.
func fingerprintOf(documents []format.Document) format.Digest {
	digests := make([]format.Digest, len(documents))
	for i := range documents {
		digests[i] = documents[i].Digest
	}
	return format.Fingerprint(digests)
}

func fingerprintText(d format.Digest) string { return "sha256:" + hex.EncodeToString(d[:]) }

// receipt is what the state says of a stored bundle; the fingerprint, which the
// state does not hold, is the caller's to add.
func (s *Server) receipt(key format.BundleKey, row *format.BundleRow, leaf format.Digest) (*sagov1.Receipt, error) {
	inst, err := s.node.Store().Institution(key.Institution)
	if err != nil {
		return nil, err
	}
	r := &sagov1.Receipt{
		Institution: inst.Code, Transaction: key.Transaction, Part: key.Part, Size: row.Size, StoredAt: instant(row.StoredAt),
		RetentionState: "unset", HistorySequence: row.Store, LeafHash: leaf[:],
	}
	floor, starting, ok := s.node.Store().RetainUntil(row)
	if ok {
		r.RetainUntil, r.RetentionState = instant(floor), "set"
	}
	if ok && starting {
		r.RetentionState = "starting"
	}
	return r, nil
}

// actorName shows an actor without naming anybody: the role and the number.
func (s *Server) actorName(id uint64) string {
	if id == 0 {
		return "sago"
	}
	p, err := s.node.Store().Person(id)
	if err != nil || p == nil {
		return "person/" + number(id)
	}
	return access.Role(p.Role).String() + "/" + number(id)
}

func documentsOf(d format.Description) []*sagov1.Document {
	var out []*sagov1.Document
	for _, doc := range d.Documents {
		out = append(out, &sagov1.Document{Name: doc.Name, MediaType: doc.MediaType, Size: doc.Size, Fingerprint: fingerprintText(doc.Digest)})
	}
	return out
}
