package format_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestCeremonyCheck refuses a ceremony whose parts contradict one another.
func TestCeremonyCheck(t *testing.T) {
	if err := exampleCeremony().Check(); err != nil {
		t.Fatal(err)
	}
	faults := map[string]func(*format.Ceremony){
		"no nodes":                       func(c *format.Ceremony) { c.Nodes = nil },
		"no time":                        func(c *format.Ceremony) { c.Time = 0 },
		"node 0":                         func(c *format.Ceremony) { c.Nodes[0].Number = 0 },
		"node number twice":              func(c *format.Ceremony) { c.Nodes[1].Number = c.Nodes[0].Number },
		"node name twice":                func(c *format.Ceremony) { c.Nodes[1].Name = c.Nodes[0].Name },
		"node without a name":            func(c *format.Ceremony) { c.Nodes[0].Name = "" },
		"node name that ends a raft id":  func(c *format.Ceremony) { c.Nodes[0].Name = "n/1" },
		"node name that splits a note":   func(c *format.Ceremony) { c.Nodes[0].Name = "n 1" },
		"node name with a line":          func(c *format.Ceremony) { c.Nodes[0].Name = "n\n1" },
		"node name too long":             func(c *format.Ceremony) { c.Nodes[0].Name = strings.Repeat("n", 65) },
		"node key twice":                 func(c *format.Ceremony) { c.Nodes[1].PublicKey = c.Nodes[0].PublicKey },
		"incarnation twice":              func(c *format.Ceremony) { c.Nodes[1].Incarnation = c.Nodes[0].Incarnation },
		"no incarnation":                 func(c *format.Ceremony) { c.Nodes[1].Incarnation = format.ID{} },
		"person 0":                       func(c *format.Ceremony) { c.Persons[0].ID = 0 },
		"person twice":                   func(c *format.Ceremony) { c.Persons[1].ID = c.Persons[0].ID },
		"identity twice":                 func(c *format.Ceremony) { c.Persons[1].Identity = c.Persons[0].Identity },
		"one key for two persons":        func(c *format.Ceremony) { c.Persons[1].PublicKey = c.Persons[0].PublicKey },
		"person of no institution":       func(c *format.Ceremony) { c.Persons[0].Institution = 9 },
		"institution 0":                  func(c *format.Ceremony) { c.Institutions[0].Number = 0 },
		"institution twice":              func(c *format.Ceremony) { c.Institutions = append(c.Institutions, c.Institutions[0]) },
		"definition twice":               func(c *format.Ceremony) { c.Definitions = append(c.Definitions, c.Definitions[0]) },
		"definition of no institution":   func(c *format.Ceremony) { c.Definitions[0].Institution = 9 },
		"definition of a later version ": func(c *format.Ceremony) { c.Definitions = append(c.Definitions, again(c.Definitions[0])) },
	}
	for name, spoil := range faults {
		t.Run(name, func(t *testing.T) {
			c := exampleCeremony()
			spoil(&c)
			if err := c.Check(); !errors.Is(err, format.ErrMalformed) {
				t.Fatalf("got %v", err)
			}
			if !slices.Equal(c.Encode(), mustCeremony(t, c).Encode()) {
				t.Fatal("does not decode to itself")
			}
		})
	}
}

// TestDevelopmentSharesAKey lets one person be several in development only.
func TestDevelopmentSharesAKey(t *testing.T) {
	c := exampleCeremony()
	c.Production, c.Persons[1].PublicKey = false, c.Persons[0].PublicKey
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
}

func again(d format.Definition) format.Definition {
	d.Version++
	return d
}

func mustCeremony(t *testing.T, c format.Ceremony) format.Ceremony {
	t.Helper()
	got, err := format.DecodeCeremony(c.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestP53_WitnessesOfAPolicy refuses a policy under which a checkpoint would look
// witnessed and is not, or never could.
func TestP53_WitnessesOfAPolicy(t *testing.T) {
	witness := func(name string, first byte) format.NoteKey {
		return format.NoteKey{Name: name, Type: format.NoteCosignature, Key: append([]byte{first}, make([]byte, 31)...)}
	}
	policy := func(c *format.Ceremony, needed uint8, witnesses ...format.NoteKey) {
		c.Policy.Version, c.Policy.WitnessesNeeded, c.Policy.Witnesses = 2, needed, witnesses
	}
	good := exampleCeremony()
	policy(&good, 2, witness("w1", 1), witness("w2", 2))
	if err := good.Check(); err != nil || mustCeremony(t, good).Policy.WitnessesNeeded != 2 {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*format.Ceremony){
		"more needed than there are": func(c *format.Ceremony) { policy(c, 3, witness("w1", 1), witness("w2", 2)) },
		"none in a form with some":   func(c *format.Ceremony) { policy(c, 0) },
		"name twice":                 func(c *format.Ceremony) { policy(c, 1, witness("w1", 1), witness("w1", 2)) },
		"key twice":                  func(c *format.Ceremony) { policy(c, 1, witness("w1", 1), witness("w2", 1)) },
		"name of a node":             func(c *format.Ceremony) { policy(c, 1, witness(c.Nodes[0].Name, 1)) },
		"name with a bar":            func(c *format.Ceremony) { policy(c, 1, witness("w|1", 1)) },
		"name with a space":          func(c *format.Ceremony) { policy(c, 1, witness("w 1", 1)) },
		"a node's kind of key": func(c *format.Ceremony) {
			policy(c, 1, format.NoteKey{Name: "w1", Type: format.NoteECDSA, Key: c.Nodes[0].PublicKey})
		},
		"short key": func(c *format.Ceremony) {
			policy(c, 1, format.NoteKey{Name: "w1", Type: format.NoteCosignature, Key: []byte{1}})
		},
	} {
		c := exampleCeremony()
		if spoil(&c); !errors.Is(c.Check(), format.ErrMalformed) {
			t.Errorf("%s: accepted", name)
		}
	}
}
