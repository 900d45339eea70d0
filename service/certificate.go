package service

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Certificate implements sagov1.SpecialDeleteServiceServer: for a request's
// bundle, or for any bundle that has ended.
func (s *specialServer) Certificate(ctx context.Context, req *sagov1.SpecialDeleteServiceCertificateRequest) (*sagov1.SpecialDeleteServiceCertificateResponse, error) {
	asked := query("certificate", req.GetId(), "transaction", req.GetTransaction(), "part", req.GetPart())
	if _, err := s.recordQuery(ctx, format.ListCertificate, asked); err != nil {
		return nil, err
	}
	var key format.BundleKey
	var err error
	if req.GetId() != "" {
		v, err := s.special(ctx, req.GetId())
		if err != nil {
			return nil, err
		}
		if v.Row.Executed == 0 {
			return nil, refusal(format.ReasonState, "the special deletion has not been executed")
		}
		key = v.Object.Key()
	} else if key, err = bundleKey(callerOf(ctx), req.GetTransaction(), req.GetPart()); err != nil {
		return nil, err
	}
	row, err := s.node.Store().Bundle(key)
	switch {
	case err != nil:
		return nil, err
	case row == nil:
		return nil, refusal(format.ReasonNotFound, "")
	case row.Expire == 0:
		return nil, refusal(format.ReasonState, "it has not ended: there is nothing to certify")
	}
	w := certifying{Server: s.Server, caller: callerOf(ctx), key: key, row: row}
	c, err := w.certificate(ctx)
	return &sagov1.SpecialDeleteServiceCertificateResponse{Certificate: c}, err
}

// certifying gathers one certificate.
type certifying struct {
	*Server
	caller     *caller
	key        format.BundleKey
	row        *format.BundleRow
	out        *sagov1.Certificate
	archives   []format.ArchiveRow
	checkpoint format.CheckpointEffect
}

func (w *certifying) certificate(ctx context.Context) (*sagov1.Certificate, error) {
	holders, err := w.node.Store().Holders(w.row)
	if err != nil {
		return nil, err
	}
	if w.archives, err = w.node.Store().ArchivesHolding(w.row); err != nil {
		return nil, err
	}
	if err := w.cover(ctx, holders); err != nil {
		return nil, err
	}
	inst, err := w.node.Store().Institution(w.key.Institution)
	if err != nil {
		return nil, err
	}
	w.out = &sagov1.Certificate{
		Institution: inst.Code, Transaction: w.key.Transaction, Part: w.key.Part, RetainUntil: instant(w.row.Retention.Deadline), Checkpoint: w.note(w.checkpoint),
	}
	if err := errors.Join(w.way(), w.records(), w.holders(holders), w.keyArchives()); err != nil {
		return nil, err
	}
	return w.out, w.remains()
}

// cover has a checkpoint over every record of the certificate.
func (w *certifying) cover(ctx context.Context, holders []store.Holder) error {
	newest := max(w.row.Expire, w.row.Erase)
	for _, h := range holders {
		newest = max(newest, h.Attested)
	}
	for _, a := range w.archives {
		newest = max(newest, a.Opened+1, a.Destroyed+1)
	}
	if w.checkpoint = w.node.Store().Summary().Checkpoint; w.checkpoint.Checkpoint.Size >= newest {
		return nil
	}
	if err := w.node.Checkpoint(ctx, true); err != nil {
		return err
	}
	if w.checkpoint = w.node.Store().Summary().Checkpoint; w.checkpoint.Checkpoint.Size < newest {
		return notYet(reasonNotCovered)
	}
	return nil
}

// way says by which way the bundle ended, and of a special deletion who decided.
func (w *certifying) way() error {
	exit, err := w.node.Store().Exit(w.key)
	switch {
	case err != nil:
		return err
	case exit == nil:
		w.out.Way = "expiry"
		return nil
	case retention.Exit(exit.Exit) == retention.ExitClose:
		w.out.Way = "close"
		return nil
	}
	w.out.Way = format.ActKindSpecialDelete.String()
	v, err := w.node.Store().Act(w.key.Institution, exit.Act)
	if err != nil || v == nil {
		return err
	}
	a, err := w.actOf(w.caller, v)
	if err != nil {
		return err
	}
	w.out.RequestId, w.out.Signers = a.GetId(), a.GetSignatures()
	p, err := format.DecodeSpecialParams(v.Doc.Params)
	w.out.Order = p.Order
	return err
}

func (w *certifying) records() (err error) {
	if w.out.Stored, err = w.certified(w.row.Store); err != nil {
		return err
	}
	if w.out.Decided, err = w.certified(w.row.Expire - 1); err != nil || w.row.Erase == 0 {
		return err
	}
	w.out.Erased, err = w.certified(w.row.Erase - 1)
	return err
}

// certified is a record with its proof under the certificate's checkpoint.
func (w *certifying) certified(sequence uint64) (*sagov1.CertifiedRecord, error) {
	rec, encoded, err := w.node.Store().Record(sequence)
	if err != nil {
		return nil, err
	}
	proof, err := w.prove(sequence, w.checkpoint)
	if err != nil {
		return nil, err
	}
	proof.Checkpoint = "" // the certificate's own
	return &sagov1.CertifiedRecord{Encoded: encoded, Proof: proof, Time: instant(rec.Clock), Action: rec.Action.String()}, nil
}

// holders adds who has attested, and whose word is missing.
func (w *certifying) holders(holders []store.Holder) error {
	names := map[uint32]string{}
	for _, m := range w.node.Store().Members() {
		names[m.Number] = m.Name
	}
	for _, h := range holders {
		if h.Attested == 0 {
			w.out.Outstanding = append(w.out.Outstanding, &sagov1.CertificateHolder{Node: names[h.Node], Number: h.Node,
				Incarnation: h.Incarnation[:], Member: h.Member, Destroyed: h.Destroyed})
			continue
		}
		rec, err := w.certified(h.Attested - 1)
		if err != nil {
			return err
		}
		decoded, err := format.DecodeRecord(rec.GetEncoded())
		if err != nil {
			return err
		}
		e, err := format.DecodeAttestEffect(decoded.Effect)
		if err != nil {
			return err
		}
		w.out.Attestations = append(w.out.Attestations, &sagov1.CertifiedAttestation{Node: names[h.Node], Number: h.Node,
			Incarnation: h.Incarnation[:], Signature: e.Signature, Record: rec})
	}
	left := slices.ContainsFunc(holders, func(h store.Holder) bool { return !h.Done() })
	w.out.Final = !left && w.row.Erase != 0
	return nil
}

// keyArchives adds the periods in which the key may have left. One whose recovery
// keys are not recorded destroyed keeps the certificate from being final.
func (w *certifying) keyArchives() error {
	for _, row := range w.archives {
		a := &sagov1.CertificateArchive{Period: hex.EncodeToString(row.Period[:]), Opened: row.Opened, Needed: uint32(row.Needed), Destroyed: row.Destroyed}
		for _, h := range row.Holders {
			a.Holders = append(a.Holders, w.actorName(h.Person))
		}
		w.out.Archives = append(w.out.Archives, a)
		if row.Destroyed == 0 {
			w.out.Final = false
			continue
		}
		var err error
		if a.Record, err = w.certified(row.Destroyed); err != nil {
			return err
		}
	}
	return nil
}

// remains says what still exists.
func (w *certifying) remains() error {
	w.remain("history", "이력에 저장·결정·파기 기록과 그 해시, 크기, 약정값이 남습니다. 파기를 확인한 노드에는 약정값의 키가 없어 내용을 추측해 대조할 수 없습니다",
		"the history keeps the records of storing, deciding and erasing with their hashes, sizes and commitment; where the erasure is attested, the commitment's key is gone and no guess can be confirmed by it")
	if w.out.GetWay() == format.ActKindSpecialDelete.String() {
		w.remain("ledger", "각 노드의 특수삭제 원장과 운영체제 기록에 각 단계가 남습니다. 사람과 사유는 암호문입니다",
			"each node's special-deletion ledger and operating system record keep each step; people and reasons as ciphertext")
		w.remain("opening", "승인자의 프로그램은 대조를 위해 지문과 약정값의 키를 받았습니다. 보관하지 않습니다",
			"the approvers' programs were given the fingerprint and the commitment's key to check by; they keep neither")
	}
	for _, h := range w.out.GetOutstanding() {
		id := hex.EncodeToString(h.GetIncarnation())
		switch {
		case h.GetDestroyed() != 0:
		case h.GetMember():
			w.remain("node", fmt.Sprintf("노드 %s가 아직 파기를 확인하지 않았습니다", h.GetNode()), fmt.Sprintf("node %s has not attested yet", h.GetNode()))
		default:
			w.remain("medium", fmt.Sprintf("노드 %d의 지난 사본 %s의 매체가 파기되었다는 기록이 없습니다", h.GetNumber(), id),
				fmt.Sprintf("nothing records that the medium of node %d's former copy %s was destroyed", h.GetNumber(), id))
		}
	}
	return w.copies()
}

// maxBackupsShown bounds the backups that one certificate names.
const maxBackupsShown = 100

// copies says what may lie outside the nodes. A backup holds no key but in its key
// archives; so these alone keep a certificate from being final.
func (w *certifying) copies() error {
	backups, err := w.node.Store().BackupsHolding(w.row)
	if err != nil {
		return err
	}
	if older := len(backups) - maxBackupsShown; older > 0 {
		w.remain("backup", fmt.Sprintf("그보다 오래된 백업 %d개에도 암호문이 있을 수 있습니다. 키는 없습니다", older),
			fmt.Sprintf("%d older backups may hold its ciphertext as well, no keys", older))
		backups = backups[older:]
	}
	for _, b := range backups {
		at := time.UnixMicro(b.Clock).UTC().Format(time.RFC3339)
		w.remain("backup", fmt.Sprintf("%s의 백업(이력 %d건): 암호문이 있을 수 있고 키는 없습니다. 같은 폴더에 나중에 끝난 백업이 있으면 거기서는 지워졌습니다", at, b.End),
			fmt.Sprintf("backup of %s at history %d: may hold ciphertext, holds no keys; a later run that ended in the same directory has overwritten it there", at, b.End))
	}
	w.archiveRemains()
	return nil
}

// archiveRemains says in which key archives the key may be.
func (w *certifying) archiveRemains() {
	for _, a := range w.out.GetArchives() {
		switch {
		case a.GetDestroyed() != 0:
		case a.GetNeeded() == 0:
			w.remain("key-archive", fmt.Sprintf("복원으로 잃은 이력에서 만든 키 보관본에 키가 있을 수 있습니다 (기간 %s). 그 파기가 기록되지 않았습니다", a.GetPeriod()),
				fmt.Sprintf("key archives made in a part of the history that a restore lost may hold its key (period %s), and nothing records that they were destroyed", a.GetPeriod()))
		default:
			w.remain("key-archive", fmt.Sprintf("기간 %s의 키 보관본에 키가 있을 수 있습니다. 보관자 %d명 중 %d명이 함께 엽니다. 복구키의 파기가 기록되지 않았습니다", a.GetPeriod(), len(a.GetHolders()), a.GetNeeded()),
				fmt.Sprintf("key archives of period %s may hold its key: %d of %d holders open them together, and nothing records that the recovery keys were destroyed",
					a.GetPeriod(), a.GetNeeded(), len(a.GetHolders())))
		}
	}
}

func (w *certifying) remain(kind, ko, en string) {
	w.out.Remains = append(w.out.Remains, &sagov1.Remainder{Kind: kind, Ko: ko, En: en})
}
