package main

import (
	"os"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/audit/witness"
)

// readKeys is the log of a keys file (docs/formats/export.md), for its witness.
func readKeys(path string) (witness.Log, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return witness.Log{}, err
	}
	k, err := audit.ParseKeys(raw)
	return witness.Log{Origin: k.Origin, Nodes: k.Nodes}, err
}
