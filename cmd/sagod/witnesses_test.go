package main

import (
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestP53_DevWitnessesArePolicy: whom a directory lists is settled when it is
// made; where they are reached is not.
func TestP53_DevWitnessesArePolicy(t *testing.T) {
	key := format.NoteKey{Name: "w.example/1", Type: format.NoteCosignature, Key: make([]byte, 32)}
	all, err := parseDevWitnesses([]string{key.VKey() + "=http://127.0.0.1:7410"})
	if err != nil || len(all) != 1 || all[0].key.VKey() != key.VKey() || all[0].url != "http://127.0.0.1:7410" {
		t.Fatalf("%v, %+v", err, all)
	}
	for _, bad := range []string{"", key.VKey(), key.VKey() + "=ftp://x", "w=http://x", key.VKey() + "=http://", key.VKey() + "=http://x?y"} {
		if _, err := parseDevWitnesses([]string{bad}); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	policy := witnessPolicy(devPolicy(), all, 1)
	if policy.Version != 2 || policy.WitnessesNeeded != 1 || len(policy.Witnesses) != 1 {
		t.Errorf("%+v", policy)
	}
	if none := witnessPolicy(devPolicy(), nil, 1); none.Version != 1 || none.WitnessesNeeded != 0 {
		t.Errorf("%+v", none)
	}
	d := &devDir{root: t.TempDir(), nodes: 1}
	places, err := d.witnessPlaces(policy, all)
	if err != nil || len(places) != 1 || places[0].URL != all[0].url {
		t.Errorf("%v, %+v", err, places)
	}
	other := all[0]
	other.key.Key = append([]byte{1}, other.key.Key[1:]...)
	if _, err := d.witnessPlaces(policy, []devWitness{other}); err == nil || !strings.Contains(err.Error(), "does not list") {
		t.Errorf("another key: %v", err)
	}
}
