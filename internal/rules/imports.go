package rules

import (
	"slices"
	"strings"
)

// mayKnow is the project's map: each package of ours and the packages of ours that it may import outside tests. A name
// that ends in /... stands for the folder and all below it. A package that is not on the map may not exist: a new room
// is placed here, and in docs/architecture.md, first.
var mayKnow = map[string][]string{
	"cmd/sagod": { // from access on: the ceremony, its files and the development directory
		"service", "service/sink", "service/ledger", "service/witnesses", "replication", "store", "timesource", "access", "retention", "proto/...", "store/backup", "store/keyarchive", "store/custodian", "store/custodian/gate", "store/format", "internal/durable",
		"audit/forensic",
	},
	// store/format: a person signs an act's canonical bytes; store/backup and store/keyarchive: an officer releases shares offline.
	"cmd/sago":          {"proto/...", "service/client/...", "audit/...", "store/format", "store/backup", "store/keyarchive", "internal/durable"},
	"cmd/sago-mydata":   {"mydata", "service/client"},
	"cmd/sago-provider": {"mydata"},

	"service":        {"service/ledger", "replication", "store", "store/keyarchive", "store/format", "access", "retention", "proto/..."},
	"service/client": {"proto/...", "store/backup", "store/format", "internal/durable"},

	"service/client/cosign": {"store/format"},
	"service/witnesses":     {"service/client/cosign", "store", "store/format", "internal/durable"}, // store: its Reader
	"replication":           {"store", "store/backup", "store/keyarchive", "store/format", "retention", "proto/...", "internal/durable", "internal/crashpoint"},
	"service/ledger":        {"store", "store/format", "internal/durable"}, // store: its Reader
	"service/sink":          {"store", "store/format", "internal/durable"}, // store: its Reader
	"store": {
		"store/format", "store/segment", "store/keyring", "store/history", "store/index", "store/custodian",
		"retention", "access", "internal/durable", "internal/crashpoint",
	},
	"store/segment":        {"store/segment/series", "store/format", "internal/durable"},
	"store/segment/series": {"store/format", "internal/durable"}, // what payload and history files have in common
	"store/keyring":        {"store/format", "internal/durable"},
	"store/history":        {"store/segment/series", "store/format", "internal/durable"},
	"store/index":          {"store/format", "internal/durable"},
	"store/backup":         {"store/keyarchive", "store/format", "internal/durable"},
	"store/keyarchive":     {"store/keyring", "store/format"}, // bytes alone
	"store/custodian":      {"store/format", "store/keyring", "internal/durable", "internal/crashpoint", "retention", "access"},
	"store/custodian/gate": {"store/custodian", "store/format", "retention", "access"}, // its own reader of the history, on purpose
	"audit":                {"store/format", "service/client"},
	"audit/forensic":       {"store/format", "store/keyring", "store/keyarchive", "proto/..."}, // reads bytes alone: no room that walks, opens or writes files
	"audit/witness":        {"store/format", "service/client/cosign", "internal/durable"},
	"mydata":               {"proto/...", "service/client"},
	"proto/...":            {"proto/..."},

	"timesource":          nil,
	"retention":           nil,
	"access":              nil,
	"store/format":        nil,
	"internal/durable":    nil,
	"internal/crashpoint": nil,

	"internal/demo":        {"proto/...", "service/client", "internal/testcluster"},
	"internal/mutate":      {},
	"internal/bench":       {"proto/...", "service/client"},
	"internal/system":      nil, // tests only
	"internal/rules":       nil,
	"internal/testreport":  nil,
	"internal/testntp":     nil,
	"internal/testlog":     {"store/format"},
	"internal/testcluster": {"service/...", "store/...", "proto/...", "internal/testntp"},
}

// covers says whether the entry of the map, which may end in /..., stands for package p.
func covers(entry, p string) bool {
	if dir, ok := strings.CutSuffix(entry, "/..."); ok {
		return under(p, dir)
	}
	return entry == p
}

// ImportDirection holds every import of ours against the map.
func ImportDirection(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if s.Test() {
			continue
		}
		allowed, placed := knownTo(s.Dir())
		if !placed {
			found = append(found, Finding{s.Path, 1, "package " + s.Dir() + " is not on the map in internal/rules/imports.go"})
			continue
		}
		for _, spec := range s.ast.Imports {
			dep, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), Module+"/")
			if ours && !slices.ContainsFunc(allowed, func(e string) bool { return covers(e, dep) }) {
				found = append(found, s.at(spec, "%s may not import %s", s.Dir(), dep))
			}
		}
	}
	return found
}

func knownTo(dir string) (allowed []string, placed bool) {
	for entry, allowed := range mayKnow {
		if covers(entry, dir) {
			return allowed, true
		}
	}
	return nil, false
}

// onlyIn names modules that one room alone may import, tests included, so that they can be replaced there.
var onlyIn = map[string]string{
	"github.com/hashicorp/raft":        "replication",
	"github.com/hashicorp/raft-boltdb": "replication",
}

// RaftStaysInReplication finds imports of the raft library elsewhere.
func RaftStaysInReplication(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		for _, spec := range s.ast.Imports {
			for module, room := range onlyIn {
				if under(strings.Trim(spec.Path.Value, `"`), module) && !under(s.Dir(), room) {
					found = append(found, s.at(spec, "only %s imports %s", room, module))
				}
			}
		}
	}
	return found
}
