package format

import (
	"fmt"
	"strings"
)

// Ceremony is the parameters of the first act: who the nodes and the first
// persons are, the first policy, and a time that two people compared. It is the
// first log entry; every node is started with its digest and takes no other.
type Ceremony struct {
	// Production marks the cluster for ever; a start of the other kind refuses
	// its data.
	Production bool
	// Time is what the persons compared, microseconds. The first clock entry
	// must lie within 24 h after it.
	Time         int64
	Nodes        []CeremonyNode
	Persons      []Person
	Institutions []Institution
	Definitions  []Definition
	Authorities  [][]byte // DER certificates that client certificates chain to
	Policy       Policy
}

// CeremonyNode is a node's first incarnation.
type CeremonyNode struct {
	Number      uint32 // from 1
	Name        string
	Incarnation ID
	PublicKey   []byte // ECDSA P-256, PKIX DER
}

// Person is a principal as the ceremony or an enrolment names it: numbers and a
// public key. Names follow as ENROL records once keys exist.
type Person struct {
	ID          uint64 // from 1
	Role        uint8  // access.Role
	Institution uint32
	// PublicKey is that of the person's certificate and signatures, PKIX DER.
	PublicKey []byte
	// Identity is the SHA-256 over the certificate's issuer DN, its length in
	// front, and its subject DN, both DER (access.Identity): the principal is the
	// full DN and its issuer, not the key alone.
	Identity Digest
}

// Institution is a tenant (이용기관). Number 0, the appliance, is not listed.
type Institution struct {
	Number uint32
	Code   string // 이용기관 코드
}

// Definition is a bundle definition (묶음정보) in force.
type Definition struct {
	Institution uint32
	BundleID    string
	Version     uint32
	Grade       uint8
	// Rule is the definition's own retention rule; empty when every rule with a
	// basis is allowed.
	Rule string
}

// Policy is the replicated policy (I10). Every value has an order; only acts may
// weaken what the sources allow to be weakened.
type Policy struct {
	// Version is that of the policy's form: from 2 on it lists witnesses, from 3 on
	// it says when a backup is overdue.
	Version uint32
	// Slack is how far the clock may pass the floor line, microseconds.
	Slack int64
	// Agreement is how far apart the votes of one clock entry may lie, microseconds.
	Agreement int64
	// MaxYears bounds the retention a put may ask for, calendar years.
	MaxYears uint32
	// SweepWithin bounds the lateness of expiry behind the clock, microseconds.
	SweepWithin int64
	// Approvals is how many persons a special deletion needs.
	Approvals uint8
	// CoolingOff is the waiting time of a special deletion, microseconds.
	CoolingOff int64
	// CheckpointEvery is the greatest time between checkpoints while there is
	// something to cover, microseconds.
	CheckpointEvery int64
	// HistoryYears is the least retention of history records, years (훈령 22조: 3).
	HistoryYears uint32
	// ClosedNetwork says that fewer than three sources were accepted at the
	// ceremony; shown in every status.
	ClosedNetwork bool
	MinSources    uint8
	Sources       []TimeSource
	// Witnesses are the independent logs' witnesses that are asked to cosign
	// checkpoints, and WitnessesNeeded is how many cosignatures make a checkpoint
	// count as witnessed. Where each is reached is in node files.
	Witnesses       []NoteKey
	WitnessesNeeded uint8
	// BackupHours is BackupWithin where the form says it, and 0 before form 3.
	BackupHours uint32
}

// defaultBackupHours is a day, and an hour for a run to end.
const defaultBackupHours = 25

// BackupWithin is how old the newest backup may be on the quorum clock before it is
// overdue, hours; 0: no backup is ever overdue.
func (p Policy) BackupWithin() uint32 {
	if p.Version < policyBackup {
		return defaultBackupHours
	}
	return p.BackupHours
}

// SetBackupWithin sets BackupWithin, in the form that can say it.
func (p *Policy) SetBackupWithin(hours uint32) {
	if hours != p.BackupWithin() {
		p.Version, p.BackupHours = max(p.Version, policyBackup), hours
	}
}

// SetWitnesses sets the witnesses, in the form that can list them.
func (p *Policy) SetWitnesses(w []NoteKey) {
	p.Witnesses = w
	if p.Version < policyBackup {
		p.Version = 1
		if len(w) > 0 {
			p.Version = policyWitnesses
		}
	}
}

// TimeSource is a time source that the policy lists. Where it is reached and its
// secret are in node files.
type TimeSource struct {
	Name     string
	Operator string
	Auth     string // none, sha1, sha256, sha512, aes128-cmac, aes256-cmac, nts
	KeyID    uint32
	NTSName  string
}

// Encode returns the canonical bytes of c.
func (c Ceremony) Encode() []byte {
	var w Writer
	w.Bool(c.Production)
	w.I64(c.Time)
	w.U32(uint32(len(c.Nodes)))
	for _, n := range c.Nodes {
		w.U32(n.Number)
		w.Str(n.Name)
		w.Raw(n.Incarnation[:])
		w.Blob(n.PublicKey)
	}
	w.U32(uint32(len(c.Persons)))
	for _, p := range c.Persons {
		p.encode(&w)
	}
	w.U32(uint32(len(c.Institutions)))
	for _, i := range c.Institutions {
		w.U32(i.Number)
		w.Str(i.Code)
	}
	w.U32(uint32(len(c.Definitions)))
	for _, d := range c.Definitions {
		d.encode(&w)
	}
	w.U32(uint32(len(c.Authorities)))
	for _, a := range c.Authorities {
		w.Blob(a)
	}
	c.Policy.encode(&w)
	return w.Bytes()
}

func (p Person) encode(w *Writer) {
	w.U64(p.ID)
	w.U8(p.Role)
	w.U32(p.Institution)
	w.Blob(p.PublicKey)
	w.Raw(p.Identity[:])
}

func readPerson(r *Reader) (p Person) {
	p.ID = r.U64()
	p.Role = r.U8()
	p.Institution = r.U32()
	p.PublicKey = r.Blob()
	r.Raw(p.Identity[:])
	return p
}

func (d Definition) encode(w *Writer) {
	w.U32(d.Institution)
	w.Str(d.BundleID)
	w.U32(d.Version)
	w.U8(d.Grade)
	w.Str(d.Rule)
}

func readDefinition(r *Reader) Definition {
	return Definition{r.U32(), r.Str(), r.U32(), r.U8(), r.Str()}
}

func (p Policy) encode(w *Writer) {
	w.U32(p.Version)
	w.I64(p.Slack)
	w.I64(p.Agreement)
	w.U32(p.MaxYears)
	w.I64(p.SweepWithin)
	w.U8(p.Approvals)
	w.I64(p.CoolingOff)
	w.I64(p.CheckpointEvery)
	w.U32(p.HistoryYears)
	w.Bool(p.ClosedNetwork)
	w.U8(p.MinSources)
	w.U32(uint32(len(p.Sources)))
	for _, s := range p.Sources {
		w.Str(s.Name)
		w.Str(s.Operator)
		w.Str(s.Auth)
		w.U32(s.KeyID)
		w.Str(s.NTSName)
	}
	if p.Version < policyWitnesses {
		return
	}
	w.U32(uint32(len(p.Witnesses)))
	for _, k := range p.Witnesses {
		w.Str(k.Name)
		w.U8(k.Type)
		w.Blob(k.Key)
	}
	w.U8(p.WitnessesNeeded)
	if p.Version >= policyBackup {
		w.U32(p.BackupHours)
	}
}

// The first forms of a policy that list witnesses, and that say when a backup is
// overdue.
const (
	policyWitnesses = 2
	policyBackup    = 3
)

func readPolicy(r *Reader) (p Policy) {
	p.Version = r.U32()
	p.Slack = r.I64()
	p.Agreement = r.I64()
	p.MaxYears = r.U32()
	p.SweepWithin = r.I64()
	p.Approvals = r.U8()
	p.CoolingOff = r.I64()
	p.CheckpointEvery = r.I64()
	p.HistoryYears = r.U32()
	p.ClosedNetwork = r.Bool()
	p.MinSources = r.U8()
	p.Sources = list(r, 12, func(r *Reader) TimeSource { return TimeSource{r.Str(), r.Str(), r.Str(), r.U32(), r.Str()} })
	if p.Version >= policyWitnesses {
		p.Witnesses = list(r, 7, func(r *Reader) NoteKey { return NoteKey{r.Str(), r.U8(), r.Blob()} })
		p.WitnessesNeeded = r.U8()
	}
	if p.Version >= policyBackup {
		p.BackupHours = r.U32()
	}
	return p
}

// DecodeCeremony reads what Encode wrote.
func DecodeCeremony(b []byte) (Ceremony, error) {
	return decodeEffect(b, func(r *Reader) (c Ceremony) {
		c.Production = r.Bool()
		c.Time = r.I64()
		c.Nodes = list(r, 26, func(r *Reader) CeremonyNode { return CeremonyNode{r.U32(), r.Str(), readID(r), r.Blob()} })
		c.Persons = list(r, 49, readPerson)
		c.Institutions = list(r, 6, func(r *Reader) Institution { return Institution{r.U32(), r.Str()} })
		c.Definitions = list(r, 13, readDefinition)
		c.Authorities = list(r, 4, (*Reader).Blob)
		c.Policy = readPolicy(r)
		return c
	})
}

// Check returns an error for a ceremony whose parts contradict one another: an
// ErrMalformed that says which.
func (c Ceremony) Check() error {
	if len(c.Nodes) == 0 || c.Time <= 0 {
		return fmt.Errorf("%w: a ceremony needs nodes and a time", ErrMalformed)
	}
	if err := CheckNodes(c.Nodes); err != nil {
		return err
	}
	if err := c.Policy.Check(c.Nodes); err != nil {
		return err
	}
	institutions := map[uint32]bool{0: true} // the appliance itself
	for _, i := range c.Institutions {
		if institutions[i.Number] {
			return fmt.Errorf("%w: institution %d twice, or 0, which is the appliance", ErrMalformed, i.Number)
		}
		institutions[i.Number] = true
	}
	definitions := map[Definition]bool{}
	for _, d := range c.Definitions {
		name := Definition{Institution: d.Institution, BundleID: d.BundleID}
		if definitions[name] || !institutions[d.Institution] {
			return fmt.Errorf("%w: definition %q twice, or of institution %d, which is not listed", ErrMalformed, d.BundleID, d.Institution)
		}
		definitions[name] = true
	}
	return c.checkPersons(institutions)
}

// CheckNodes refuses nodes without a number, or of whom two share one, a name, a
// key or an incarnation.
func CheckNodes(nodes []CeremonyNode) error {
	numbers, names, keys, incarnations := map[uint32]bool{}, map[string]bool{}, map[string]bool{}, map[ID]bool{{}: true}
	for _, n := range nodes {
		switch {
		case n.Number == 0 || numbers[n.Number] || names[n.Name]:
			return fmt.Errorf("%w: node %d %q without number, or twice", ErrMalformed, n.Number, n.Name)
		case !validNodeName(n.Name):
			return fmt.Errorf("%w: node name %q: 1 to 64 letters, digits, dots, dashes and underscores", ErrMalformed, n.Name)
		case keys[string(n.PublicKey)] || incarnations[n.Incarnation]:
			return fmt.Errorf("%w: node %d has the key or incarnation of another, or no incarnation", ErrMalformed, n.Number)
		}
		numbers[n.Number], names[n.Name], keys[string(n.PublicKey)], incarnations[n.Incarnation] = true, true, true, true
	}
	return nil
}

// validNodeName keeps names fit for what they become a part of: raft ids, where
// a slash ends them, and lines of signed notes, where a space or plus does.
func validNodeName(name string) bool {
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// checkPersons also refuses, in production, two persons with one key: either of
// the two who must sign could sign for both.
func (c Ceremony) checkPersons(institutions map[uint32]bool) error {
	ids, identities, keys := map[uint64]bool{}, map[Digest]bool{}, map[string]bool{}
	for _, p := range c.Persons {
		switch {
		case p.ID == 0 || ids[p.ID]:
			return fmt.Errorf("%w: person %d without number or twice", ErrMalformed, p.ID)
		case identities[p.Identity] || c.Production && keys[string(p.PublicKey)]:
			return fmt.Errorf("%w: person %d has the identity or key of another", ErrMalformed, p.ID)
		case !institutions[p.Institution]:
			return fmt.Errorf("%w: person %d is of institution %d, which is not listed", ErrMalformed, p.ID, p.Institution)
		}
		ids[p.ID], identities[p.Identity], keys[string(p.PublicKey)] = true, true, true
	}
	return nil
}

// maxWitnesses bounds the witnesses of a policy.
const maxWitnesses = 16

// Check refuses witnesses of whom one could count twice, or as a node, and a
// number of them that can never be reached. A policy without any is of the form
// that knows none.
func (p Policy) Check(nodes []CeremonyNode) error {
	formed := p.Version >= policyBackup || p.BackupHours == 0 && (p.Version == policyWitnesses) == (len(p.Witnesses) > 0)
	if !formed || int(p.WitnessesNeeded) > len(p.Witnesses) || len(p.Witnesses) > maxWitnesses {
		return fmt.Errorf("%w: a policy of form %d with %d witnesses, of which %d are needed", ErrMalformed, p.Version, len(p.Witnesses), p.WitnessesNeeded)
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for _, n := range nodes {
		names[n.Name] = true
	}
	for _, w := range p.Witnesses {
		if k, err := ParseVKey(w.VKey()); err != nil || k.Type != NoteCosignature || strings.Contains(w.Name, lineFeed) {
			return fmt.Errorf("%w: the key of witness %q is none of a witness", ErrMalformed, w.Name)
		}
		if names[w.Name] || keys[string(w.Key)] {
			return fmt.Errorf("%w: witness %q has the name or key of another, or of a node", ErrMalformed, w.Name)
		}
		names[w.Name], keys[string(w.Key)] = true, true
	}
	return nil
}
