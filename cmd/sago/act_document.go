package main

import (
	"encoding/hex"
	"fmt"
	"strconv"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// said is one thing that an act's document says.
type said struct{ ko, name, value string }

// documentOf reads what a person is about to sign from the signed bytes
// themselves, not from what the server says beside them.
func documentOf(a *sagov1.Act) ([]said, error) {
	doc, err := format.DecodeAct(a.GetDocument())
	if err != nil {
		return nil, fmt.Errorf("document of act %s: %w", a.GetId(), err)
	}
	out, err := saidBy(doc)
	if err != nil {
		return nil, fmt.Errorf("document of act %s: %w", a.GetId(), err)
	}
	object, err := format.DecodeActObject(doc.Object)
	if err == nil && (object.Transaction != a.GetTransaction() || object.Part != a.GetPart()) {
		err = fmt.Errorf("document of act %s is about another bundle than shown", a.GetId())
	}
	digest := doc.Digest()
	return append(out, said{"문서 해시", "document", "sha256:" + hex.EncodeToString(digest[:])}), err
}

func saidBy(doc format.Act) ([]said, error) {
	switch doc.Kind {
	case format.ActKindSpecialDelete:
		p, err := format.DecodeSpecialParams(doc.Params)
		return []said{{"유통정지 명령", "order", p.Order}, {"명령서 해시", "order_document", digestText(p.Document)},
			{"저장 이력", "store", strconv.FormatUint(p.Store, 10)}, {"저장 이력 해시", "leaf", hex.EncodeToString(p.Leaf[:])}}, err
	case format.ActKindLiftStop:
		p, err := format.DecodeLiftParams(doc.Params)
		return []said{{"유통정지 명령", "order", p.Order}, {"유통정지 이력", "stop", strconv.FormatUint(p.Stop, 10)}}, err
	}
	return nil, fmt.Errorf("%w: this program cannot read an act of kind %v", format.ErrMalformed, doc.Kind)
}

// digestText is a digest as answers show it; "" for none.
func digestText(d format.Digest) string {
	if d == (format.Digest{}) {
		return ""
	}
	return "sha256:" + hex.EncodeToString(d[:])
}
