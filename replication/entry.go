package replication

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/sago-worm/sago/proto/sago/log/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// encodeBatch packs operations into a log entry's data.
func encodeBatch(ops []store.Op) ([]byte, error) {
	b := &logv1.Batch{Operations: make([]*logv1.Operation, len(ops))}
	for i := range ops {
		o := &ops[i]
		b.Operations[i] = &logv1.Operation{
			Kind: uint32(o.Kind), Id: o.ID[:], BuiltAt: o.BuiltAt, Actor: o.Actor, Front: o.Front,
			FrontEarliest: o.FrontEarliest, FrontLatest: o.FrontLatest, Institution: o.Institution, Transaction: o.Transaction,
			Part: o.Part, Reason: uint32(o.Reason), Body: o.Body, DetailClass: uint32(o.DetailClass), DetailEpoch: o.DetailEpoch, Detail: o.Detail,
		}
	}
	return proto.Marshal(b)
}

// decodeEntry reads a log entry. Bytes that are no batch halt the node.
func decodeEntry(index uint64, data []byte) (store.Entry, error) {
	var b logv1.Batch
	if err := proto.Unmarshal(data, &b); err != nil {
		return store.Entry{}, fmt.Errorf("entry %d: %w", index, err)
	}
	e := store.Entry{Index: index, Ops: make([]store.Op, len(b.Operations))}
	for i, o := range b.Operations {
		if len(o.Id) != len(format.ID{}) || o.Kind > 0xffff || o.Reason > 0xffff || o.DetailClass > 0xff {
			return e, fmt.Errorf("entry %d: operation %d out of range", index, i)
		}
		e.Ops[i] = store.Op{
			Kind: store.Kind(o.Kind), ID: format.ID(o.Id), BuiltAt: o.BuiltAt, Actor: o.Actor, Front: o.Front,
			FrontEarliest: o.FrontEarliest, FrontLatest: o.FrontLatest, Institution: o.Institution, Transaction: o.Transaction,
			Part: o.Part, Reason: format.Reason(o.Reason), Body: o.Body, DetailClass: format.DetailClass(o.DetailClass),
			DetailEpoch: o.DetailEpoch, Detail: o.Detail,
		}
	}
	return e, nil
}
