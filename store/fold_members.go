package store

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// foldCeremony takes in the first act.
func (m *Machine) foldCeremony(rec *format.Record) error {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return err
	}
	signed, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return err
	}
	digest := format.Digest(sha256.Sum256(signed.Document))
	if digest != m.own.ceremony {
		return fmt.Errorf("not the ceremony that this node was started with")
	}
	c, err := CheckCeremony(signed)
	if err != nil {
		return err
	}
	return m.begin(digest, c)
}

// begin writes the first state: what the ceremony lists.
func (m *Machine) begin(digest format.Digest, c format.Ceremony) error {
	m.ceremony = &ceremonyRow{digest: digest, production: c.Production, time: c.Time}
	m.policy = c.Policy
	m.clock = clockRow(retention.NewClock(retention.Instant(c.Time)), 0)
	rows := map[string][]byte{
		metaCeremony: m.ceremony.encode(), metaPolicy: format.EncodePolicy(c.Policy), metaClock: m.clock.Encode(),
	}
	for i, der := range c.Authorities {
		rows[fmt.Sprintf("%s%04d", metaAuthority, i)] = der
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := m.set(tMeta, []byte(name), rows[name]); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := m.putMember(format.MemberRow{Number: n.Number, Name: n.Name, PublicKey: n.PublicKey, Current: n.Incarnation}); err != nil {
			return err
		}
	}
	for _, p := range c.Persons {
		if err := m.putPerson(p); err != nil {
			return err
		}
	}
	for _, i := range append([]format.Institution{{Code: "sago"}}, c.Institutions...) {
		if err := m.set(tInstitution, key32(i.Number), format.InstitutionRow{Number: i.Number, Code: i.Code}.Encode()); err != nil {
			return err
		}
	}
	for _, d := range c.Definitions {
		if err := m.set(tDefinition, definitionKey(d.Institution, d.BundleID), format.EncodeDefinition(d)); err != nil {
			return err
		}
	}
	return nil
}

func (c ceremonyRow) encode() []byte {
	var w format.Writer
	w.Raw(c.digest[:])
	w.Bool(c.production)
	w.I64(c.time)
	return w.Bytes()
}

func decodeCeremonyRow(v []byte) (*ceremonyRow, error) {
	r := format.NewReader(v)
	var c ceremonyRow
	r.Raw(c.digest[:])
	c.production = r.Bool()
	c.time = r.I64()
	return &c, r.Done()
}

func (m *Machine) putMember(row format.MemberRow) error {
	if err := m.noteIncarnations(m.members[row.Number], row); err != nil {
		return err
	}
	m.members[row.Number] = row
	return m.set(tMember, key32(row.Number), row.Encode())
}

func (m *Machine) putPerson(p format.Person) error {
	if err := m.set(tPerson, key64(p.ID), format.EncodePerson(p)); err != nil {
		return err
	}
	return m.set(tIdentity, p.Identity[:], key64(p.ID))
}

func (m *Machine) foldMember(rec *format.Record) error {
	e, err := format.DecodeMemberEffect(rec.Effect)
	if err != nil {
		return err
	}
	row, ok := m.members[e.Node]
	if !ok {
		return fmt.Errorf("no node %d", e.Node)
	}
	row.Gone = slices.Clone(row.Gone)
	switch e.State {
	case format.MemberJoining:
		if row.Joining != (format.ID{}) {
			row.Gone = append(row.Gone, row.Joining)
		}
		row.Joining = e.Incarnation
	case format.MemberVoter:
		if row.Current != (format.ID{}) {
			row.Gone = append(row.Gone, row.Current)
		}
		row.Current, row.Joining = e.Incarnation, format.ID{}
		row.Commit, row.Size, row.Room = 0, 0, 0
	default:
		return fmt.Errorf("member state %d", e.State)
	}
	return m.putMember(row)
}

func (m *Machine) foldKey(rec *format.Record) error {
	e, err := format.DecodeKeyEffect(rec.Effect)
	if err != nil {
		return err
	}
	switch e.Verb {
	case format.KeyAnnounce:
		if err := m.set(tAnnounced, e.Block[:], key64(rec.Sequence)); err != nil {
			return err
		}
		b := format.BlockRow{Owner: e.Owner, Start: e.Start, Slots: e.Slots, Used: make([]byte, (e.Slots+7)/8)}
		return m.set(tBlock, e.Block[:], b.Encode())
	case format.KeyRetire:
		return m.foldRetire(e.Block, rec.Sequence)
	case format.KeyEpoch:
		return m.foldEpoch(e)
	case format.KeyEpochEnd:
		return m.foldEpochEnd(e, rec.Sequence)
	case format.KeyRewrap:
		return nil // the record is all there is: slots keep their numbers
	case format.KeyUseEnd:
		return m.foldUseEnd(e, rec.Sequence)
	case format.KeySpent:
		return m.foldSpent(e, rec.Sequence)
	}
	return fmt.Errorf("key verb %d", e.Verb)
}

// foldRetire marks a block retired; the slots of it that no record named are now
// to be destroyed on every node, with every range that names them.
func (m *Machine) foldRetire(id format.ID, sequence uint64) error {
	b, err := m.block(id)
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("no block %x", id[:])
	}
	b.Retired = sequence + 1
	if err := m.set(tBlock, id[:], b.Encode()); err != nil {
		return err
	}
	return m.set(tRetire, id[:], key64(sequence))
}

func (m *Machine) attestBlock(id format.ID, node uint32) error {
	b, err := m.block(id)
	if err != nil {
		return err
	}
	if b == nil {
		return nil
	}
	b.Attested = withNode(b.Attested, node)
	if err := m.set(tBlock, id[:], b.Encode()); err != nil {
		return err
	}
	return m.settleBlock(id, b)
}

// settleBlock lets go of a retired block that every voter has attested.
func (m *Machine) settleBlock(id format.ID, b *format.BlockRow) error {
	if !containsAll(b.Attested, m.voters()) {
		return nil
	}
	return m.set(tRetire, id[:], nil)
}

func (m *Machine) foldEpoch(e format.KeyEffect) error {
	inst, err := m.institution(e.Institution)
	if err != nil {
		return err
	}
	slots := []format.Slot{e.Use, e.Other}
	if inst.Epoch == 0 {
		inst.Subject = e.Subject
		slots = append(slots, e.Subject)
	}
	inst.Epoch = e.Epoch
	if err := m.useSlots(slots...); err != nil {
		return err
	}
	row := format.EpochRow{Use: e.Use, Other: e.Other}
	if err := m.set(tEpoch, epochKey(e.Institution, e.Epoch), row.Encode()); err != nil {
		return err
	}
	return m.set(tInstitution, key32(inst.Number), inst.Encode())
}

// useSlots marks slots as named by a record.
func (m *Machine) useSlots(slots ...format.Slot) error {
	for _, s := range slots {
		b, err := m.block(s.Block)
		if err != nil {
			return err
		}
		if b == nil || s.Index >= b.Slots || b.IsUsed(s.Index) {
			return fmt.Errorf("slot %v is not free", s)
		}
		b.MarkUsed(s.Index)
		if err := m.set(tBlock, s.Block[:], b.Encode()); err != nil {
			return err
		}
	}
	return nil
}
