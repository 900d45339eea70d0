package store

import (
	"cmp"
	"errors"
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// Periods of key archives (키 보관본). A backup may take data keys along only in
// the open period, sealed to the recovery keys of its holders; until these are
// recorded destroyed, whatever left then is named on certificates.

// MaxHolders is how many persons at most hold the recovery keys of a period.
const MaxHolders = 16

// Limits of a period: how many open its archives, for how many days it takes them,
// and how long before its end a new one is due, microseconds.
const (
	leastNeeded    = 2
	longestPeriod  = 90
	oneDay         = 24 * 3600 * 1_000_000
	archiveOverdue = 14 * oneDay
)

// archive reads a period, or nil.
func (m *Machine) archive(period format.ID) (*format.ArchiveRow, error) {
	return lookup(m, tArchive, period[:], format.DecodeArchiveRow)
}

// archives lists every period, oldest first. There are a few a year.
func (m *Machine) archives() ([]format.ArchiveRow, error) {
	rows, err := allRows(m, tArchive, format.DecodeArchiveRow)
	slices.SortFunc(rows, func(a, b format.ArchiveRow) int { return cmp.Compare(a.Opened, b.Opened) })
	return rows, err
}

// checkArchive refuses a period that could not be what it says: whoever signs it
// counts on its holders being persons of the appliance, each with a key of their
// own that nothing was sealed to before.
func (m *Machine) checkArchive(a *openAct) error {
	p, err := format.DecodeArchiveParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	known, err := m.archive(p.Period)
	if err != nil {
		return err
	}
	if p.Step == format.ArchiveDestroyed {
		switch {
		case known == nil:
			return refuse(format.ReasonNotFound, "no such period of key archives")
		case known.Destroyed != 0:
			return refuse(format.ReasonState, "it is recorded already")
		}
		return nil
	}
	switch {
	case known != nil || p.Period == format.ID{}:
		return refuse(format.ReasonState, "the period is known: a new one has a number of its own")
	case p.Needed < leastNeeded || int(p.Needed) > len(p.Holders) || len(p.Holders) > MaxHolders:
		return refuse(format.ReasonInvalid, "at least two holders open an archive together, of at most 16")
	case p.Days < 1 || p.Days > longestPeriod:
		return refuse(format.ReasonInvalid, "a period takes archives for 1 to 90 days")
	}
	return m.checkHolders(p.Holders)
}

// checkHolders refuses holders who do not act for the appliance, and keys that are
// not their own or not new.
func (m *Machine) checkHolders(holders []format.ArchiveHolder) error {
	operator, err := m.operator()
	if err != nil {
		return err
	}
	before, err := m.archives()
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, row := range before {
		for _, h := range row.Holders {
			listed[string(h.PublicKey)] = true
		}
	}
	var who []access.Signer
	rule := access.ActRule{Sign: access.VerbRecoveryKey} // one person counts once, as among an act's signers
	for _, h := range holders {
		p, err := m.person(h.Person)
		if err != nil {
			return err
		}
		if p == nil || p.Institution != operator {
			return refuse(format.ReasonSigner, "a holder is nobody who acts for the appliance")
		}
		if err := rule.MaySign(signerOf(p), access.Signer{}, who); err != nil {
			return refuse(format.ReasonSigner, "a holder: "+err.Error())
		}
		who = append(who, signerOf(p))
		if _, err := format.RecoveryPublicKey(h.PublicKey); err != nil {
			return refuse(format.ReasonInvalid, "a recovery key: "+err.Error())
		}
		if listed[string(h.PublicKey)] {
			return refuse(format.ReasonState, "a recovery key is another holder's or another period's: each holder makes a new one")
		}
		listed[string(h.PublicKey)] = true
		if err := access.VerifyAct(format.RecoveryKeyMessage(m.own.cluster, h.Person, h.PublicKey), h.Signature, p.PublicKey); err != nil {
			return refuse(format.ReasonSignature, "a recovery key: "+err.Error())
		}
	}
	return nil
}

// foldArchive opens a period, or takes in that its keys exist no more.
func (m *Machine) foldArchive(rec *format.Record, a *openAct) error {
	p, err := format.DecodeArchiveParams(a.doc.Params)
	if err != nil {
		return err
	}
	if p.Step == format.ArchiveDestroyed {
		return m.changeArchive(p.Period, func(row *format.ArchiveRow) { row.Destroyed = rec.Sequence })
	}
	row := format.ArchiveRow{Period: p.Period, Needed: p.Needed, Days: p.Days, Holders: p.Holders,
		Opened: rec.Sequence, From: rec.Clock, Until: rec.Clock + int64(p.Days)*oneDay}
	return m.set(tArchive, p.Period[:], row.Encode())
}

func (m *Machine) changeArchive(period format.ID, change func(*format.ArchiveRow)) error {
	row, err := m.archive(period)
	if err != nil {
		return err
	}
	if row == nil {
		return errors.New("a period of key archives that was never opened")
	}
	change(row)
	return m.set(tArchive, period[:], row.Encode())
}

// foldKeysLeft takes in that keys left under a record.
func (m *Machine) foldKeysLeft(sequence uint64, period format.ID) error {
	return m.changeArchive(period, func(row *format.ArchiveRow) {
		if row.Begin == 0 {
			row.Begin = sequence
		}
		row.End = sequence
	})
}

// foldKeysLost counts keys as gone that may have left in a part of the history that
// a restore lost: under the newest period, and under one that nobody knows of any
// more. The latter gets a row of its own, without holders: it takes no archives, and
// stands until an act records that whatever was made in that part is destroyed.
func (m *Machine) foldKeysLost(rec *format.Record) error {
	rows, err := m.archives()
	if err != nil {
		return err
	}
	if n := len(rows); n > 0 && rows[n-1].Destroyed == 0 && !unknownPeriod(rows[n-1]) {
		if err := m.foldKeysLeft(rec.Sequence, rows[n-1].Period); err != nil {
			return err
		}
	}
	row := format.ArchiveRow{Period: rec.Operation, Opened: rec.Sequence, From: rec.Clock, Until: rec.Clock, Begin: rec.Sequence, End: rec.Sequence}
	return m.set(tArchive, row.Period[:], row.Encode())
}

// unknownPeriod reports whether a row stands for what a restore lost.
func unknownPeriod(row format.ArchiveRow) bool { return row.Needed == 0 }

// takesKeys refuses a run that would take keys out in another period than the open
// one.
func (m *Machine) takesKeys(period format.ID) error {
	rows, err := m.archives()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(row format.ArchiveRow) bool { return row.Period == period })
	if i < 0 {
		return refuse(format.ReasonNotFound, "no such period of key archives: open one (sago key-archive open)")
	}
	if s := m.archiveState(rows, i); s != ArchiveIsOpen {
		return refuse(format.ReasonState, "the period of key archives is "+s.String()+": open a new one (sago key-archive open)")
	}
	return nil
}

// ArchiveState is how far a period of key archives is.
type ArchiveState uint8

// The states of a period, in the order in which they come. Only an open one takes
// archives; only of a destroyed one nothing can be opened any more.
const (
	ArchiveIsOpen ArchiveState = iota + 1
	ArchiveIsLapsed
	ArchiveIsSuperseded
	ArchiveIsDestroyed
)

// String is the state's name, as answers show it.
func (s ArchiveState) String() string {
	return [...]string{"unknown", "open", "lapsed", "superseded", "destroyed"}[min(s, ArchiveIsDestroyed)]
}

func (m *Machine) archiveState(rows []format.ArchiveRow, i int) ArchiveState {
	switch {
	case rows[i].Destroyed != 0:
		return ArchiveIsDestroyed
	case i < len(rows)-1, unknownPeriod(rows[i]):
		return ArchiveIsSuperseded
	case m.clock.Now >= rows[i].Until:
		return ArchiveIsLapsed
	}
	return ArchiveIsOpen
}

// ArchiveView is a period of key archives as answers show it. Ending says that it is
// the newest one and ends within 14 days, or has ended: a new one is due. A row
// without holders is what a restore may have lost.
type ArchiveView struct {
	Row    format.ArchiveRow
	State  ArchiveState
	Ending bool
}

// Archives lists every period of key archives, oldest first.
func (m *Machine) Archives() ([]ArchiveView, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	rows, err := m.archives()
	if err != nil {
		return nil, err
	}
	out := make([]ArchiveView, 0, len(rows))
	for i, row := range rows {
		s := m.archiveState(rows, i)
		newest := i == len(rows)-1 && s != ArchiveIsDestroyed
		out = append(out, ArchiveView{row, s, newest && m.clock.Now > row.Until-archiveOverdue})
	}
	return out, nil
}

// OpenArchive answers the period that takes archives now, or nil.
func (m *Machine) OpenArchive() (*format.ArchiveRow, error) {
	views, err := m.Archives()
	if err != nil || len(views) == 0 || views[len(views)-1].State != ArchiveIsOpen {
		return nil, err
	}
	return &views[len(views)-1].Row, nil
}

// ArchivesHolding lists the periods in which the key of a bundle may have left,
// oldest first; also those whose recovery keys are recorded destroyed. A run takes
// the keys of bundles that were stored before its record and whose end was not
// decided before it; a period stands for all its runs, so it is rather named once
// too often.
func (m *Machine) ArchivesHolding(b *format.BundleRow) ([]format.ArchiveRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	rows, err := m.archives()
	return slices.DeleteFunc(rows, func(row format.ArchiveRow) bool {
		return row.Begin == 0 || b.Store >= row.End || b.Expire != 0 && b.Expire-1 < row.Begin
	}), err
}
