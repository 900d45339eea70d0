package main

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// describe is all that a ceremony's document says, for people; the digest comes
// last, because it is what they compare.
func describe(signed format.SignedAct, act format.Act, c format.Ceremony) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	at := time.UnixMicro(c.Time)
	fmt.Fprintf(w, "kind\t%s, for ever\n", kindOf(c))
	fmt.Fprintf(w, "cluster\t%x\n", act.Cluster)
	fmt.Fprintf(w, "time\t%s (%s KST)\n", at.UTC().Format(time.RFC3339), at.In(time.FixedZone("KST", 9*60*60)).Format(time.DateTime))
	for _, n := range c.Nodes {
		fmt.Fprintf(w, "node %d\t%s, key %s, incarnation %x\n", n.Number, n.Name, keyPrint(n.PublicKey), n.Incarnation)
	}
	for _, i := range c.Institutions {
		fmt.Fprintf(w, "institution %d\t%s\n", i.Number, i.Code)
	}
	for _, p := range c.Persons {
		fmt.Fprintf(w, "person %d\t%s of institution %d, key %s, identity %x\n", p.ID, access.Role(p.Role), p.Institution, keyPrint(p.PublicKey), p.Identity)
	}
	for _, d := range c.Definitions {
		rule := d.Rule
		if rule == "" {
			rule = "any rule that has a basis"
		}
		fmt.Fprintf(w, "definition %s\tinstitution %d, version %d, grade %d, %s\n", d.BundleID, d.Institution, d.Version, d.Grade, rule)
	}
	for _, der := range c.Authorities {
		name := "unreadable"
		if cert, err := x509.ParseCertificate(der); err == nil {
			name = cert.Subject.String()
		}
		fmt.Fprintf(w, "authority\t%s, sha256 %x\n", name, sha256.Sum256(der))
	}
	describePolicy(w, c.Policy)
	for _, s := range signed.Signatures {
		fmt.Fprintf(w, "signed by\tperson %d, %s\n", s.Person, judge(signed, c, s))
	}
	if len(signed.Signatures) == 0 {
		fmt.Fprintf(w, "signed by\tnobody yet\n")
	}
	fmt.Fprintf(w, "sha256\t%x\n", digestOf(signed))
	// Writing to a strings.Builder never fails.
	_ = w.Flush()
	return b.String()
}

func describePolicy(w *tabwriter.Writer, p format.Policy) {
	micro := func(v int64) time.Duration { return time.Duration(v) * time.Microsecond }
	fmt.Fprintf(w, "policy\tversion %d: slack %v, agreement %v, at most %d years, swept within %v\n", p.Version, micro(p.Slack), micro(p.Agreement), p.MaxYears, micro(p.SweepWithin))
	fmt.Fprintf(w, "\tspecial deletion: %d approvals, cooling-off %v; checkpoint every %v; history at least %d years\n", p.Approvals, micro(p.CoolingOff), micro(p.CheckpointEvery), p.HistoryYears)
	network := "open network"
	if p.ClosedNetwork {
		network = "CLOSED NETWORK: fewer time sources or operators were accepted"
	}
	fmt.Fprintf(w, "\ttime: %d sources, at least %d; %s\n", len(p.Sources), p.MinSources, network)
	fmt.Fprintf(w, "\ta backup is overdue after %d hours (0: never)\n", p.BackupWithin())
	fmt.Fprintf(w, "\twitnesses: %d, of which %d must cosign a checkpoint\n", len(p.Witnesses), p.WitnessesNeeded)
	for _, k := range p.Witnesses {
		fmt.Fprintf(w, "witness\t%s\n", k.VKey())
	}
	for _, s := range p.Sources {
		fmt.Fprintf(w, "time source\t%s, operator %s, %s", s.Name, s.Operator, s.Auth)
		if s.KeyID != 0 {
			fmt.Fprintf(w, ", key id %d", s.KeyID)
		}
		if s.NTSName != "" {
			fmt.Fprintf(w, ", name %s", s.NTSName)
		}
		fmt.Fprintln(w)
	}
}

func keyPrint(der []byte) string { return fmt.Sprintf("%x", sha256.Sum256(der)) }

// judge says whether one signature holds.
func judge(signed format.SignedAct, c format.Ceremony, s format.ActSignature) string {
	for _, p := range c.Persons {
		if p.ID != s.Person {
			continue
		}
		if err := access.VerifyAct(signed.Document, s.Signature, p.PublicKey); err != nil {
			return err.Error()
		}
		return "holds"
	}
	return "whom the document does not list"
}
