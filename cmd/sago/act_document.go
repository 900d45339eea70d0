package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

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
	out, err := saidBy(doc, a.GetReplacedPolicy())
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

func saidBy(doc format.Act, replaced []byte) ([]said, error) {
	switch doc.Kind {
	case format.ActKindSpecialDelete:
		p, err := format.DecodeSpecialParams(doc.Params)
		return []said{{"유통정지 명령", "order", p.Order}, {"명령서 해시", "order_document", digestText(p.Document)},
			{"저장 이력", "store", strconv.FormatUint(p.Store, 10)}, {"저장 이력 해시", "leaf", hex.EncodeToString(p.Leaf[:])}}, err
	case format.ActKindLiftStop:
		p, err := format.DecodeLiftParams(doc.Params)
		return []said{{"유통정지 명령", "order", p.Order}, {"유통정지 이력", "stop", strconv.FormatUint(p.Stop, 10)}}, err
	case format.ActKindHoldRelease:
		p, err := format.DecodeHoldReleaseParams(doc.Params)
		return []said{{"보존조치 번호", "hold", fmt.Sprintf("%016x", p.Hold)}, {"보존조치 이력", "placed", strconv.FormatUint(p.Placed, 10)}}, err
	case format.ActKindClose:
		return closeSaid(doc)
	case format.ActKindPolicy:
		return policySaid(doc, replaced)
	case format.ActKindMember:
		p, err := format.DecodeMemberParams(doc.Params)
		what := "admit"
		if p.Remove {
			what = "remove"
		}
		key := sha256.Sum256(p.Node.PublicKey)
		return []said{{"행위", "what", what}, {"노드", "node", fmt.Sprintf("%d %s", p.Node.Number, p.Node.Name)},
			{"공개키 해시", "public_key", digestText(key)}, {"사본", "incarnation", hex.EncodeToString(p.Node.Incarnation[:])}}, err
	case format.ActKindMedium:
		p, err := format.DecodeMediumParams(doc.Params)
		return []said{{"노드", "node", strconv.FormatUint(uint64(p.Node), 10)}, {"사본", "incarnation", hex.EncodeToString(p.Incarnation[:])}}, err
	case format.ActKindKeyArchive:
		return archiveSaid(doc)
	case format.ActKindResync:
		p, err := format.DecodeResyncParams(doc.Params)
		var out []said
		for _, v := range p.Votes {
			out = append(out, said{"노드의 시각", fmt.Sprintf("earliest of node %d", v.Voter), local(timestamppb.New(time.UnixMicro(v.Earliest)))})
		}
		return out, err
	case format.ActKindRestoreConfirm:
		if len(doc.Params) != len(format.Digest{}) {
			return nil, fmt.Errorf("%w: a confirmation has particulars alone", format.ErrMalformed)
		}
		return []said{{"행위", "what", "lost holds and extensions stand again; expiry goes on"}}, nil
	}
	return nil, fmt.Errorf("%w: this program cannot read an act of kind %v", format.ErrMalformed, doc.Kind)
}

// archiveSaid is a period of key archives: with whom its recovery keys are, or that
// they exist no more.
func archiveSaid(doc format.Act) ([]said, error) {
	p, err := format.DecodeArchiveParams(doc.Params)
	if err != nil {
		return nil, err
	}
	period := said{"기간", "period", hex.EncodeToString(p.Period[:])}
	if p.Step == format.ArchiveDestroyed {
		return []said{{"행위", "what", "the holders destroyed their recovery keys: its key archives open no more"}, period}, nil
	}
	out := []said{{"행위", "what", "backups may take keys along, sealed to these holders' recovery keys"}, period,
		{"함께 여는 사람 수", "needed", fmt.Sprintf("%d of %d", p.Needed, len(p.Holders))}, {"날수", "days", strconv.FormatUint(uint64(p.Days), 10)}}
	for _, h := range p.Holders {
		out = append(out, said{"보관자의 복구키", fmt.Sprintf("recovery_key of person %d", h.Person), fingerprint(h.PublicKey)})
	}
	return out, nil
}

// policySaid is the whole new policy, value by value, and beside what changes the
// value now. What the server calls the policy now is held against the document.
func policySaid(doc format.Act, replaced []byte) ([]said, error) {
	p, err := format.DecodePolicyParams(doc.Params)
	if err != nil {
		return nil, err
	}
	out := policyValues(p.Policy)
	if len(replaced) > 0 {
		now, err := format.DecodePolicy(replaced)
		if err != nil || format.Digest(sha256.Sum256(replaced)) != p.Replaces {
			return nil, errors.New("the policy shown as the one now is not the one that the document replaces")
		}
		for i, v := range policyValues(now) {
			if v.value != out[i].value {
				out[i].value = fmt.Sprintf("%s (now %s)", out[i].value, v.value)
			}
		}
	}
	return append(out, said{"바뀌는 정책의 해시", "replaces", digestText(p.Replaces)}), nil
}

func policyValues(p format.Policy) []said {
	duration := func(us int64) string { return (time.Duration(us) * time.Microsecond).String() }
	sources, witnesses := []string{}, []string{}
	for _, s := range p.Sources {
		sources = append(sources, s.Name+" ("+s.Operator+", "+s.Auth+")")
	}
	for _, w := range p.Witnesses {
		witnesses = append(witnesses, w.Name)
	}
	return []said{
		{"시각 허용 폭", "slack", duration(p.Slack)}, {"시각 합의 폭", "agreement", duration(p.Agreement)},
		{"최장 보유연수", "max_years", strconv.FormatUint(uint64(p.MaxYears), 10)}, {"파기 지연 한도", "sweep_within", duration(p.SweepWithin)},
		{"특수삭제 승인자 수", "approvals", strconv.FormatUint(uint64(p.Approvals), 10)}, {"숙려 기간", "cooling_off", duration(p.CoolingOff)},
		{"체크포인트 간격", "checkpoint_every", duration(p.CheckpointEvery)}, {"이력 보존연수", "history_years", strconv.FormatUint(uint64(p.HistoryYears), 10)},
		{"폐쇄망", "closed_network", strconv.FormatBool(p.ClosedNetwork)}, {"최소 시각원 수", "min_sources", strconv.FormatUint(uint64(p.MinSources), 10)},
		{"시각원", "sources", strings.Join(sources, "; ")}, {"증인", "witnesses", strings.Join(witnesses, "; ")},
		{"필요한 증인 수", "witnesses_needed", strconv.FormatUint(uint64(p.WitnessesNeeded), 10)},
		{"백업 지연 경보 (시간)", "backup_hours", strconv.FormatUint(uint64(p.BackupWithin()), 10)},
	}
}

// digestText is a digest as answers show it; "" for none.
func digestText(d format.Digest) string {
	if d == (format.Digest{}) {
		return ""
	}
	return "sha256:" + hex.EncodeToString(d[:])
}
