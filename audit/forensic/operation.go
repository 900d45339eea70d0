package forensic

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/sago-worm/sago/proto/sago/log/v1"
	"github.com/sago-worm/sago/store/format"
)

// Kinds of operations (docs/formats/log-entry.md).
const (
	kindStore = 2
	kindKey   = 15
	kindCarry = 24
)

// learnOperation reads an operation of a log entry that begins where b begins,
// whatever stands around it and wherever it ends.
func (s *search) learnOperation(src *source, at int64, b []byte) {
	const id = "\x12\x10" // field 2, 16 bytes
	if len(b) < 20 || string(b[2:4]) != id {
		return
	}
	var op logv1.Operation
	if proto.Unmarshal(b[:fieldsLength(b)], &op) != nil {
		return
	}
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	switch op.GetKind() {
	case kindKey:
		s.learnEffect(format.ActKey, op.GetBody())
	case kindCarry:
		s.learnEffect(format.ActCarry, op.GetBody())
	}
	if !s.wanted(op.GetInstitution(), op.GetTransaction(), op.GetPart()) {
		return
	}
	s.way(WayOperations).Of++
	s.way(WayOperations).Found++
	if op.GetKind() == kindStore {
		s.learnStore(op.GetInstitution(), op.GetBody(), false, src.place(at))
	}
}

// fieldsLength is how far fields stand one after another, ascending, as in one
// message. Behind it comes the batch's next operation, or something else.
func fieldsLength(b []byte) (n int) {
	const greatest = 15 // field of an operation
	for last := protowire.Number(0); n < len(b); {
		number, kind, head := protowire.ConsumeTag(b[n:])
		if head < 0 || number <= last || number > greatest {
			return n
		}
		value := protowire.ConsumeFieldValue(number, kind, b[n+head:])
		if value < 0 {
			return n
		}
		n, last = n+head+value, number
	}
	return n
}
