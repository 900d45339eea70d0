package main

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/timesource"
)

// devInstitution is the code of the one institution of a development cluster.
const devInstitution = "demo"

type devPerson struct {
	name, department string
	role             access.Role
}

// devPersons are those who have a context; their ids are their places, from 1.
func devPersons() []devPerson {
	return []devPerson{
		{"app", "정보시스템", access.RoleApplication},
		{"officer", "업무부", access.RoleOfficer},
		{"head", "업무부", access.RoleHead},
		{"manager", "정보보호부", access.RoleManager},
		{"approver1", "심사부", access.RoleApprover},
		{"approver2", "심사부", access.RoleApprover},
		{"approver3", "준법부", access.RoleApprover},
		{"admin", "전산부", access.RoleAdmin},
		{"auditor", "감사실", access.RoleAuditor},
		{"contractor", "외주", access.RoleContractor},
	}
}

// devSigner signs the ceremony of a development cluster.
const devSigner = "manager"

// create makes everything that a development cluster starts with. The marker
// comes first and the ceremony last, so that a directory whose making was cut
// short can be told, and removed.
func (d *devDir) create(policy format.Policy) error {
	marker, err := json.Marshal(devMarker{devWhat, d.nodes})
	if err != nil {
		return err
	}
	if err := durable.WriteFile(d.path(markerFile), append(marker, '\n'), 0o600); err != nil {
		return err
	}
	ca, err := createAuthority(d.path(authDir), "Sago development CA, not for production")
	if err != nil {
		return err
	}
	c := format.Ceremony{
		Institutions: []format.Institution{{Number: 1, Code: devInstitution}},
		Definitions:  []format.Definition{{Institution: 1, BundleID: "MDS0000001", Version: 1, Grade: 1}},
		Authorities:  [][]byte{ca.cert.Raw},
		Policy:       policy,
	}
	if c.Time, err = d.createClock(); err != nil {
		return err
	}
	if c.Nodes, err = d.createNodes(ca); err != nil {
		return err
	}
	if c.Persons, err = d.createPersons(ca); err != nil {
		return err
	}
	return d.sign(c)
}

// devPolicy is quick where production is careful.
func devPolicy() format.Policy {
	return format.Policy{
		Version: 1, Slack: time.Hour.Microseconds(), Agreement: (10 * time.Second).Microseconds(), MaxYears: 100,
		SweepWithin: (5 * time.Second).Microseconds(), Approvals: 2, CoolingOff: (5 * time.Second).Microseconds(),
		CheckpointEvery: time.Minute.Microseconds(), HistoryYears: 3, ClosedNetwork: true,
	}
}

// createClock reads the wall clock, for the only time in the directory's life.
func (d *devDir) createClock() (int64, error) {
	clock, err := timesource.OpenDevelopment(d.path(clockFile), time.Now, func() time.Time { return time.Time{} })
	if err != nil {
		return 0, err
	}
	now, err := clock.Now()
	return now.Earliest.UnixMicro(), err
}

func (d *devDir) createNodes(ca *authority) ([]format.CeremonyNode, error) {
	var nodes []format.CeremonyNode
	for i := range d.nodes {
		name := nodeName(i)
		keys, err := replication.CreateKeys(d.path(name, "keys"))
		if err != nil {
			return nil, err
		}
		public, err := keys.PublicKey()
		if err != nil {
			return nil, err
		}
		server := subject{name: pkix.Name{CommonName: name, Organization: []string{devInstitution}, Country: []string{"KR"}}, server: true,
			hosts: []string{"localhost", "127.0.0.1", "::1"}}
		if _, err := ca.issue(server, d.path(name, "tls.pem"), d.path(name, "tls.key")); err != nil {
			return nil, err
		}
		nodes = append(nodes, format.CeremonyNode{Number: uint32(i + 1), Name: name, Incarnation: randomID(), PublicKey: public})
	}
	return nodes, nil
}

func (d *devDir) createPersons(ca *authority) ([]format.Person, error) {
	if err := os.MkdirAll(d.path(contextsDir), 0o700); err != nil {
		return nil, err
	}
	var persons []format.Person
	for i, p := range devPersons() {
		client := subject{name: pkix.Name{CommonName: p.name, OrganizationalUnit: []string{p.department}, Organization: []string{devInstitution}, Country: []string{"KR"}}}
		if p.role != access.RoleApplication {
			client.email = p.name + "@demo.example" // a person's contact; an application has none
		}
		cert, err := ca.issue(client, d.path(contextsDir, p.name+".pem"), d.path(contextsDir, p.name+".key"))
		if err != nil {
			return nil, err
		}
		persons = append(persons, personOf(uint64(i+1), p.role, 1, cert))
	}
	return persons, nil
}

// personOf is a person as an act names them: by the certificate's key, and by
// its subject and issuer.
func personOf(id uint64, role access.Role, institution uint32, cert *x509.Certificate) format.Person {
	return format.Person{ID: id, Role: uint8(role), Institution: institution, PublicKey: cert.RawSubjectPublicKeyInfo,
		Identity: access.Identity(cert.RawIssuer, cert.RawSubject)}
}

func randomID() (id format.ID) {
	// crypto/rand.Read never fails.
	_, _ = rand.Read(id[:])
	return id
}

// unsigned is a ceremony's act for a new cluster.
func unsigned(c format.Ceremony) format.SignedAct {
	act := format.Act{Cluster: randomID(), Kind: format.ActKindCeremony, Params: c.Encode(), Nonce: randomID()}
	return format.SignedAct{Document: act.Encode()}
}

func (d *devDir) sign(c format.Ceremony) error {
	signed := unsigned(c)
	for i, p := range devPersons() {
		if p.name != devSigner {
			continue
		}
		key, err := readKey(d.path(contextsDir, p.name+".key"))
		if err != nil {
			return err
		}
		if err := addSignature(&signed, uint64(i+1), key); err != nil {
			return err
		}
	}
	if _, err := store.CheckCeremony(signed); err != nil {
		return fmt.Errorf("own ceremony: %w", err)
	}
	return durable.WriteFile(d.path(actFile), actText(signed), 0o600)
}
