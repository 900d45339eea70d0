package store

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// newHolder is a person's own new recovery key, in their word.
func (w *world) newHolder(keys actors, person uint64) format.ArchiveHolder {
	w.Helper()
	k := newKey(w)
	h := format.ArchiveHolder{Person: person, PublicKey: elliptic.MarshalCompressed(k.Curve, k.X, k.Y)}
	h.Signature = sign(w, keys[person], format.RecoveryKeyMessage(w.cluster, person, h.PublicKey))
	return h
}

// openParams open a period that two of three persons of the appliance hold.
func (w *world) openParams(keys actors, period byte) format.ArchiveParams {
	w.Helper()
	p := format.ArchiveParams{Step: format.ArchiveOpen, Period: format.ID{period}, Needed: 2, Days: 90}
	for _, person := range []uint64{manager, approver1, approver2} {
		p.Holders = append(p.Holders, w.newHolder(keys, person))
	}
	return p
}

func (w *world) archiveDoc(p format.ArchiveParams) format.Act {
	return w.document(format.ActKindKeyArchive, format.ActObject{}, p.Encode())
}

// decideArchive has an act about a period executed.
func (w *world) decideArchive(keys actors, p format.ArchiveParams) {
	w.Helper()
	doc := w.archiveDoc(p)
	w.propose(admin, doc)
	w.agree(keys, doc)
}

func destroyed(period byte) format.ArchiveParams {
	return format.ArchiveParams{Step: format.ArchiveDestroyed, Period: format.ID{period}}
}

// owner is the administrator of the appliance itself, who backs it up.
const owner = 21

func withOwner(c *format.Ceremony) {
	c.Persons = append(c.Persons, format.Person{ID: owner, Role: uint8(access.RoleAdmin), PublicKey: c.Persons[0].PublicKey, Identity: format.Digest{owner}})
}

// takeKeys is a run that takes keys out.
func (w *world) takeKeys(period byte) uint64 {
	w.Helper()
	return w.accept(w.commit(w.backupOp(owner, 0, format.BackupEffect{Period: format.ID{period}}))).Sequence
}

func (w *world) period(period byte) format.ArchiveRow {
	w.Helper()
	row, err := w.nodes[0].archive(format.ID{period})
	w.must(err)
	return *row
}

// holding lists the periods that may hold a bundle's key, with a mark behind those
// that are destroyed.
func (w *world) holding(transaction string) (out string) {
	w.Helper()
	rows, err := w.nodes[0].ArchivesHolding(w.nodes[0].row(transaction))
	w.must(err)
	for _, row := range rows {
		out += fmt.Sprintf("%d", row.Period[0])
		if row.Destroyed != 0 {
			out += "-"
		}
	}
	return out
}

// TestR24NobodyOpensAPeriodAlone: the holders are different persons who act for the
// appliance, each has a new key of their own and says so with their enrolled key.
func TestR24NobodyOpensAPeriodAlone(t *testing.T) {
	w, keys := newActWorld(t, t, 1, withOwner)
	first := w.openParams(keys, 1)
	w.decideArchive(keys, first)
	keys[officer], keys[admin], keys[nobody] = newKey(t), newKey(t), newKey(t)
	with := func(i int, h format.ArchiveHolder) func(*format.ArchiveParams) {
		return func(p *format.ArchiveParams) { p.Holders[i] = h }
	}
	good := w.newHolder(keys, approver2)
	forged, strange := good, w.newHolder(keys, elsewhere)
	forged.Signature = first.Holders[2].Signature
	bad := format.ArchiveHolder{Person: approver2, PublicKey: bytes.Repeat([]byte{2}, 32)}
	for name, c := range map[string]struct {
		change func(*format.ArchiveParams)
		want   format.Reason
	}{
		"one of three":               {func(p *format.ArchiveParams) { p.Needed = 1 }, format.ReasonInvalid},
		"four of three":              {func(p *format.ArchiveParams) { p.Needed = 4 }, format.ReasonInvalid},
		"no holder":                  {func(p *format.ArchiveParams) { p.Needed, p.Holders = 0, nil }, format.ReasonInvalid},
		"no day":                     {func(p *format.ArchiveParams) { p.Days = 0 }, format.ReasonInvalid},
		"91 days":                    {func(p *format.ArchiveParams) { p.Days = 91 }, format.ReasonInvalid},
		"a period that is known":     {func(p *format.ArchiveParams) { p.Period = first.Period }, format.ReasonState},
		"no period":                  {func(p *format.ArchiveParams) { p.Period = format.ID{} }, format.ReasonState},
		"a key of an earlier period": {with(2, first.Holders[2]), format.ReasonState},
		"one person twice":           {func(p *format.ArchiveParams) { p.Holders[2] = w.newHolder(keys, twin) }, format.ReasonSigner},
		"another institution's":      {with(2, strange), format.ReasonSigner},
		"an administrator": {func(p *format.ArchiveParams) {
			p.Holders = append([]format.ArchiveHolder{w.newHolder(keys, admin)}, p.Holders...)
		}, format.ReasonSigner},
		"nobody":           {func(p *format.ArchiveParams) { p.Holders = append(p.Holders, w.newHolder(keys, nobody)) }, format.ReasonSigner},
		"no key":           {with(2, bad), format.ReasonInvalid},
		"a forged word":    {with(2, forged), format.ReasonSignature},
		"another's word":   {func(p *format.ArchiveParams) { p.Holders[1].Signature = p.Holders[0].Signature }, format.ReasonSignature},
		"another's key":    {func(p *format.ArchiveParams) { p.Holders[1].PublicKey = p.Holders[0].PublicKey }, format.ReasonState},
		"unknown, its end": {func(p *format.ArchiveParams) { *p = destroyed(9) }, format.ReasonNotFound},
	} {
		p := w.openParams(keys, 2)
		c.change(&p)
		if r := w.commit(w.proposeOp(admin, w.archiveDoc(p))); r.Outcome != Refused || r.Reason != c.want {
			t.Errorf("%s: %+v, want %v", name, r, c.want)
		}
	}
}

// TestI1OnePeriodIsOpenedAtATime: two acts that open a period have one aim, whoever
// holds it, and so have two about the end of one.
func TestI1OnePeriodIsOpenedAtATime(t *testing.T) {
	w, keys := newActWorld(t, t, 2, withOwner)
	w.decideArchive(keys, w.openParams(keys, 1))
	w.decideArchive(keys, w.openParams(keys, 2))
	open := w.archiveDoc(w.openParams(keys, 3))
	w.propose(admin, open)
	w.sameIsOpen(w.proposeOp(admin, w.archiveDoc(w.openParams(keys, 4))), open)
	first := w.archiveDoc(destroyed(1))
	w.propose(admin, first)
	w.sameIsOpen(w.proposeOp(admin, w.again(first)), first)
	w.propose(admin, w.archiveDoc(destroyed(2)))
	w.agree(keys, open)
	w.propose(admin, w.archiveDoc(w.openParams(keys, 4)))
	w.equal()
}

// TestR24KeysLeaveInTheOpenPeriodAlone: by default they do not, and then only while
// the newest period lasts.
func TestR24KeysLeaveInTheOpenPeriodAlone(t *testing.T) {
	w, keys := newActWorld(t, t, 2, withOwner)
	run := func(period byte) Op { return w.backupOp(owner, 0, format.BackupEffect{Period: format.ID{period}}) }
	open := func() string {
		row, err := w.nodes[0].OpenArchive()
		w.must(err)
		if row == nil {
			return "none"
		}
		return fmt.Sprint(row.Period[0])
	}
	states := func() (out []string) {
		views, err := w.nodes[0].Archives()
		w.must(err)
		for _, v := range views {
			out = append(out, fmt.Sprintf("%d %s %v", v.Row.Period[0], v.State, v.Ending))
		}
		return out
	}
	expect := func(who string, want ...string) {
		t.Helper()
		if got := states(); open() != who || !slices.Equal(got, want) {
			t.Fatalf("open %s, all %q; want %s, %q", open(), got, who, want)
		}
	}
	w.refuse(w.commit(run(1)), format.ReasonNotFound)
	expect("none")
	p := w.openParams(keys, 1)
	w.decideArchive(keys, p)
	row := w.period(1)
	if row.Until-row.From != 90*day || row.From != w.nodes[0].Summary().Clock.Now || row.Begin+row.End+row.Destroyed != 0 || len(row.Holders) != 3 {
		t.Fatalf("%+v", row)
	}
	expect("1", "1 open false")
	whole := format.BackupEffect{First: 1, End: 2, Digest: format.Digest{1}, Period: format.ID{1}}
	w.refuse(w.commit(w.backupOp(owner, 0, whole)), format.ReasonInvalid)
	begin := w.takeKeys(1)
	end := w.takeKeys(1)
	if row = w.period(1); row.Begin != begin || row.End != end || begin >= end {
		t.Fatalf("%+v, want %d to %d", row, begin, end)
	}
	w.accept(w.commit(w.backupOp(owner, 0, format.BackupEffect{}))) // takes none
	if got := w.period(1); got.End != end {
		t.Fatalf("%+v: a run without keys counts", got)
	}
	w.tick(77 * day)
	expect("1", "1 open true")
	w.tick(14 * day)
	expect("none", "1 lapsed true")
	w.refuse(w.commit(run(1)), format.ReasonState)
	w.decideArchive(keys, w.openParams(keys, 2))
	expect("2", "1 superseded false", "2 open false")
	w.refuse(w.commit(run(1)), format.ReasonState)
	w.decideArchive(keys, destroyed(2))
	expect("none", "1 superseded false", "2 destroyed false")
	w.refuse(w.commit(run(2)), format.ReasonState)
	w.refuse(w.commit(w.proposeOp(admin, w.archiveDoc(destroyed(2)))), format.ReasonState)
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}

// TestP36_I5_ArchivesHoldWhatTheyMayHold: a bundle's key may be in the archives of a
// period whose runs began between its storing and its end; until that period's
// recovery keys are destroyed.
func TestP36_I5_ArchivesHoldWhatTheyMayHold(t *testing.T) {
	w, keys := newActWorld(t, t, 2, withOwner)
	for _, name := range []string{"before", "short", "lasting"} {
		rule := map[string]string{"before": "PT1H", "short": "P1D", "lasting": "P5Y"}[name]
		w.put(name, rule)
	}
	w.decideArchive(keys, w.openParams(keys, 1))
	w.began()
	w.tick(2 * hour)
	w.sweep(10) // "before" ends ahead of the first run
	if w.takeKeys(1); w.holding("before")+w.holding("short")+w.holding("lasting") != "11" {
		t.Fatalf("before %q, short %q, lasting %q", w.holding("before"), w.holding("short"), w.holding("lasting"))
	}
	w.put("after", "P5Y")
	if got := w.holding("after"); got != "" {
		t.Fatalf("a key that was made later: %q", got)
	}
	w.tick(2 * day)
	w.sweep(10) // "short" ends behind it
	w.takeKeys(1)
	w.decideArchive(keys, w.openParams(keys, 2))
	w.takeKeys(2)
	for name, want := range map[string]string{"before": "", "short": "1", "lasting": "12", "after": "12"} {
		if got := w.holding(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.decideArchive(keys, destroyed(1))
	if got := w.holding("short") + w.holding("lasting"); got != "1-1-2" {
		t.Errorf("%q", got)
	}
	w.equal()
}

// leaks draws what makes keys leave and bundles end, and knows exactly which keys
// are in which archive.
type leaks struct {
	*world
	keys     actors
	lives    []string
	archived map[byte]map[string]bool // by period
	burnt    map[byte]bool
	ended    map[string]bool
	lost     map[format.ID]map[string]bool // by the row of what a restore lost
	restored bool                          // since the newest period was opened
	periods  byte
	serial   int
}

func (l *leaks) put(*rapid.T) {
	name := fmt.Sprintf("T%d", l.serial)
	l.serial++
	l.world.put(name, "PT1H")
	l.lives = append(l.lives, name)
}

func (l *leaks) end(r *rapid.T) {
	l.tick(int64(rapid.IntRange(1, 90).Draw(r, "minutes")) * minute)
	l.sweep(uint32(rapid.IntRange(1, 3).Draw(r, "limit")))
	l.lives = slices.DeleteFunc(l.lives, func(name string) bool {
		l.ended[name] = l.nodes[0].row(name).Expire != 0
		return l.ended[name]
	})
}

func (l *leaks) open(*rapid.T) {
	l.periods++
	l.decideArchive(l.keys, l.openParams(l.keys, l.periods))
	l.archived[l.periods], l.restored = map[string]bool{}, false
}

// restore loses a part of the history in which keys left under the newest period, and
// under one that was opened there.
func (l *leaks) restore(*rapid.T) {
	l.restores(false)
	rows := l.unknowns()
	lost := map[string]bool{}
	for _, name := range l.lives {
		lost[name] = true
		if l.periods > 0 && !l.restored && !l.burnt[l.periods] {
			l.archived[l.periods][name] = true
		}
	}
	l.lost[rows[len(rows)-1].Period], l.restored = lost, true
}

// run takes keys out; which ones is decided at its record.
func (l *leaks) run(*rapid.T) {
	r := l.commit(l.backupOp(owner, 0, format.BackupEffect{Period: format.ID{max(l.periods, 1)}}))
	if may := l.periods > 0 && !l.burnt[l.periods] && !l.restored; (r.Outcome == Accepted) != may {
		l.Fatalf("period %d, may %v: %+v", l.periods, may, r)
	} else if may {
		for _, name := range l.lives {
			l.archived[l.periods][name] = true
		}
	}
}

func (l *leaks) burn(r *rapid.T) {
	p := byte(rapid.IntRange(1, int(l.periods)+1).Draw(r, "period"))
	doc := l.archiveDoc(destroyed(p))
	if c := l.commit(l.proposeOp(admin, doc)); (c.Outcome == Accepted) != (p <= l.periods && !l.burnt[p]) {
		l.Fatalf("the end of period %d: %+v", p, c)
	} else if c.Outcome == Accepted {
		l.agree(l.keys, doc)
		l.burnt[p] = true
	}
}

// check: every key in an archive that can still be opened is named, and so is, with
// its destruction, every other; no period that took none is.
func (l *leaks) check(*rapid.T) {
	for n := range l.serial {
		name := fmt.Sprintf("T%d", n)
		rows, err := l.nodes[0].ArchivesHolding(l.nodes[0].row(name))
		l.must(err)
		named := map[byte]bool{}
		for period, held := range l.lost {
			if held[name] && !slices.ContainsFunc(rows, func(row format.ArchiveRow) bool { return row.Period == period }) {
				l.Fatalf("%s may be in an archive that a restore lost, of which nothing is said", name)
			}
		}
		for _, row := range rows {
			if unknownPeriod(row) {
				continue
			}
			named[row.Period[0]] = true
			if (row.Destroyed != 0) != l.burnt[row.Period[0]] || len(l.archived[row.Period[0]]) == 0 && row.Begin == 0 {
				l.Fatalf("%s: %+v", name, row)
			}
		}
		for p, held := range l.archived {
			if held[name] && !named[p] {
				l.Fatalf("%s is in an archive of period %d, of which nothing is said", name, p)
			}
		}
	}
}

// TestP36_I5_NoArchiveIsForgotten: whatever happens in which order, a certificate names
// every archive that a key is in.
func TestP36_I5_NoArchiveIsForgotten(t *testing.T) {
	fewer(t, 12)
	rapid.Check(t, func(r *rapid.T) {
		w, keys := newActWorld(t, r, 1, withOwner)
		defer w.close()
		l := &leaks{world: w, keys: keys, archived: map[byte]map[string]bool{}, burnt: map[byte]bool{}, ended: map[string]bool{},
			lost: map[format.ID]map[string]bool{}}
		r.Repeat(map[string]func(*rapid.T){"put": l.put, "end": l.end, "open": l.open, "run": l.run, "burn": l.burn, "restore": l.restore, "": l.check})
	})
}
