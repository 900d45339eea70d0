package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Limits of a registration.
const (
	maxCode        = 64 // bytes
	maxOfficers    = 32
	maxDefinitions = 64
)

// decideInstitution registers, suspends or resumes an institution, or ends special
// deletion for it. Of what an operator does to another institution that one's own
// history has a record too, without the operator's detail.
func (t *turn) decideInstitution() error {
	e, err := format.DecodeInstitutionEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	switch e.Verb {
	case format.InstitutionRegister:
		err = t.checkRegister(&e)
	case format.InstitutionSuspend, format.InstitutionResume:
		err = t.checkPause(e)
	case format.InstitutionNoSpecial:
		err = t.checkNoSpecial(e)
	default:
		err = refuse(format.ReasonInvalid, "nobody asks for this")
	}
	if err != nil {
		return err
	}
	if err := t.write(draft{action: format.ActInstitution, institution: t.op.Institution, effect: e, detail: true}); err != nil {
		return err
	}
	if e.Number == t.op.Institution {
		return nil
	}
	return t.write(draft{action: format.ActInstitution, institution: e.Number, effect: e})
}

// plain reports whether an effect says no more than verb, number and end.
func plain(e format.InstitutionEffect) bool {
	own := format.InstitutionEffect{Verb: e.Verb, Number: e.Number, Until: e.Until}
	return bytes.Equal(format.EncodeEffect(own), format.EncodeEffect(e))
}

// checkPause judges a suspension or its end: by the institution's own persons, or
// by those who act for the appliance.
func (t *turn) checkPause(e format.InstitutionEffect) error {
	if err := t.permit(access.VerbInstitution); err != nil {
		return err
	}
	operator, err := t.operator()
	if err != nil {
		return err
	}
	_, known, err := t.institutionOrNone(e.Number)
	if err != nil {
		return err
	}
	if e.Number != t.op.Institution && (!known || t.op.Institution != operator) {
		return refuse(format.ReasonNotFound, "no such institution")
	}
	if e.Number == 0 || !plain(e) {
		return refuse(format.ReasonInvalid, "a suspension names an institution and its end")
	}
	row, err := t.tenant(e.Number)
	if err != nil {
		return err
	}
	if e.Verb == format.InstitutionResume {
		if row.State != format.TenantSuspended || e.Until != 0 {
			return refuse(format.ReasonState, "the institution is "+row.State.String())
		}
		return nil
	}
	if row.State != format.TenantActive {
		return refuse(format.ReasonState, "the institution is "+row.State.String())
	}
	return t.checkUntil(e.Until)
}

// checkUntil bounds a suspension: at most six calendar months (고시 제16조 제3항).
func (t *turn) checkUntil(until int64) error {
	if t.clock.Now == 0 {
		return refuse(format.ReasonNotReady, "the clock has not begun: a suspension has an end")
	}
	limit, err := retention.SuspensionLimit(t.now())
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	if until <= t.clock.Now || until > int64(limit) {
		return refuse(format.ReasonInvalid, "a suspension ends within six calendar months")
	}
	return nil
}

// checkNoSpecial lets an institution's own access manager end special deletion
// for it, for good.
func (t *turn) checkNoSpecial(e format.InstitutionEffect) error {
	if err := t.permit(access.VerbSpecialDisable); err != nil {
		return err
	}
	if e.Number != t.op.Institution || e.Number == 0 || e.Until != 0 || !plain(e) {
		return refuse(format.ReasonInvalid, "only for one's own institution")
	}
	row, err := t.tenant(e.Number)
	if err == nil && row.NoSpecial {
		err = refuse(format.ReasonState, "special deletion has ended for this institution")
	}
	return err
}

// checkRegister judges a registration and gives the institution and its officers
// the next free numbers: whoever asks leaves the institution's 0, and counts the
// officers from 1.
func (t *turn) checkRegister(e *format.InstitutionEffect) error {
	if err := t.permit(access.VerbInstitution); err != nil {
		return err
	}
	operator, err := t.operator()
	if err != nil {
		return err
	}
	if t.op.Institution != operator {
		return refuse(format.ReasonNotPermitted, "only persons who act for the appliance may do this")
	}
	own := format.InstitutionEffect{Verb: e.Verb, Code: e.Code, Quota: e.Quota, Officers: e.Officers, Definitions: e.Definitions}
	if !bytes.Equal(format.EncodeEffect(own), t.op.Body) || !validTransaction(e.Code) || len(e.Code) > maxCode {
		return refuse(format.ReasonInvalid, "a registration names a code, officers, definitions and a quota")
	}
	institutions, err := allRows(t.Machine, tInstitution, format.DecodeInstitutionRow)
	if err != nil {
		return err
	}
	for _, i := range institutions {
		if i.Code == e.Code {
			return refuse(format.ReasonConflict, "an institution has this code")
		}
		e.Number = max(e.Number, i.Number)
	}
	e.Number++
	if err := t.checkOfficers(e); err != nil {
		return err
	}
	return t.checkDefinitions(e)
}

func (t *turn) checkOfficers(e *format.InstitutionEffect) error {
	persons, err := allRows(t.Machine, tPerson, format.DecodePerson)
	if err != nil {
		return err
	}
	last := uint64(0)
	if n := len(persons); n > 0 {
		last = persons[n-1].ID
	}
	if len(e.Officers) > maxOfficers || !slices.ContainsFunc(e.Officers, func(p format.Person) bool { return access.Role(p.Role) == access.RoleManager }) {
		return refuse(format.ReasonInvalid, "an institution has an access manager, and at most 32 persons at first")
	}
	e.Officers = slices.Clone(e.Officers)
	for i := range e.Officers {
		p := &e.Officers[i]
		if p.ID != uint64(i+1) || p.Institution != 0 || !slices.Contains(access.Roles(), access.Role(p.Role)) {
			return refuse(format.ReasonInvalid, "officers are counted from 1 and have a role")
		}
		if err := access.CheckKey(p.PublicKey); err != nil {
			return refuse(format.ReasonInvalid, fmt.Sprintf("officer %d: %v", i+1, err))
		}
		for _, other := range persons {
			if other.Identity == p.Identity || bytes.Equal(other.PublicKey, p.PublicKey) {
				return refuse(format.ReasonConflict, "somebody is enrolled under this certificate or key")
			}
		}
		p.ID, p.Institution = last+uint64(i+1), e.Number
		persons = append(persons, *p)
	}
	return nil
}

func (t *turn) checkDefinitions(e *format.InstitutionEffect) error {
	if len(e.Definitions) > maxDefinitions {
		return refuse(format.ReasonInvalid, "at most 64 definitions at first")
	}
	seen := map[string]bool{}
	e.Definitions = slices.Clone(e.Definitions)
	for i := range e.Definitions {
		d := &e.Definitions[i]
		if d.Institution != 0 || seen[d.BundleID] || !validTransaction(d.BundleID) || len(d.BundleID) > maxCode {
			return refuse(format.ReasonInvalid, "a definition has an id of its own")
		}
		if d.Rule != "" {
			rule, err := retention.ParseRule(d.Rule)
			if err != nil || rule.String() != d.Rule {
				return refuse(format.ReasonBadRule, fmt.Sprintf("the rule of definition %s", d.BundleID))
			}
		}
		d.Institution, seen[d.BundleID] = e.Number, true
	}
	return nil
}

// foldInstitution takes in what an INSTITUTION record did. Doing it again, for the
// institution's own record of it, changes nothing.
func (m *Machine) foldInstitution(rec *format.Record) error {
	e, err := format.DecodeInstitutionEffect(rec.Effect)
	if err != nil {
		return err
	}
	if e.Verb == format.InstitutionRegister {
		return m.foldRegister(e, rec.Clock)
	}
	if e.Verb == format.InstitutionSwept {
		if err := m.foldKept(e); err != nil {
			return err
		}
	}
	return m.changeTenant(e.Number, func(row *format.TenantRow) {
		switch e.Verb {
		case format.InstitutionSuspend:
			row.State, row.Since, row.Until = format.TenantSuspended, rec.Clock, e.Until
		case format.InstitutionResume:
			row.State, row.Since, row.Until = format.TenantActive, rec.Clock, 0
		case format.InstitutionNoSpecial:
			row.NoSpecial = true
		case format.InstitutionSwept:
			row.Passed, row.Swept = e.Passed, len(e.Passed) == 0
		case format.InstitutionClosed:
			row.State, row.Since = format.TenantClosed, rec.Clock
		}
	})
}

func (m *Machine) foldRegister(e format.InstitutionEffect, clock int64) error {
	if _, known, err := m.institutionOrNone(e.Number); err != nil || known {
		return err
	}
	for _, p := range e.Officers {
		if err := m.putPerson(p); err != nil {
			return err
		}
	}
	for _, d := range e.Definitions {
		if err := m.set(tDefinition, definitionKey(d.Institution, d.BundleID), format.EncodeDefinition(d)); err != nil {
			return err
		}
	}
	row := format.TenantRow{State: format.TenantActive, Since: clock, Quota: e.Quota}
	return errors.Join(m.set(tInstitution, key32(e.Number), format.InstitutionRow{Number: e.Number, Code: e.Code}.Encode()),
		m.set(tTenant, key32(e.Number), row.Encode()))
}
