package main

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"github.com/sago-worm/sago/audit/witness"
	"github.com/sago-worm/sago/store/format"
)

// readKeys reads the log's origin and node keys of a keys file (docs/formats/export.md).
func readKeys(path string) (l witness.Log, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return l, err
	}
	for i, line := range strings.Split(string(raw), "\n") {
		word, rest, _ := strings.Cut(strings.TrimRight(line, " \t\r"), " ")
		switch {
		case i == 0 && word != "sago-keys-1":
			return l, errors.New("not a keys file: it does not begin with sago-keys-1")
		case word == "origin" && l.Origin == "" && strings.HasPrefix(rest, "sago.log/"):
			l.Origin = rest
		case word == "node":
			k, err := format.ParseVKey(rest)
			if err != nil {
				return l, err
			}
			for _, other := range l.Nodes {
				if other.Name == k.Name || bytes.Equal(other.Key, k.Key) {
					return l, errors.New("node " + k.Name + ": name or key stands twice")
				}
			}
			l.Nodes = append(l.Nodes, k)
		}
	}
	if l.Origin == "" || len(l.Nodes) == 0 {
		return l, errors.New("no origin, or no node")
	}
	return l, nil
}
