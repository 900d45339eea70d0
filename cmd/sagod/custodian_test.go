package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCustodianConfigNamesEveryFault reads files of a custodian that must not start.
func TestCustodianConfigNamesEveryFault(t *testing.T) {
	const digest = "ceremony_digest = \"7d0c5a0c9a0c7bbd0a4a7c1e1a8e5e0bb3a2b8a6f1b4f0c83f0d2a58c3d1e9f2\"\n"
	const good = "data_dir = \"d\"\nsocket = \"s\"\ndaemon_user = \"64999\"\n" + digest
	for want, text := range map[string]string{
		"":                               good,
		"config: data_dir: is missing":   strings.Replace(good, "data_dir = \"d\"\n", "", 1),
		"config: socket: is missing":     strings.Replace(good, "socket = \"s\"\n", "", 1),
		"config: socket: lies inside":    strings.Replace(good, "\"s\"", "\"d/s\"", 1),
		"config: daemon_user: is missi":  strings.Replace(good, "64999", "", 1),
		"config: daemon_user: user: unk": strings.Replace(good, "64999", "nobody-of-this-name", 1),
		"config: ceremony_digest: is no": strings.Replace(good, "7d0c", "", 1),
		"config: log_level: ":            good + "log_level = \"loud\"\n",
		"config: custodian: unknown key": good + "custodian = \"x\"\n",
	} {
		path := filepath.Join(t.TempDir(), "custodian.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readCustodianConfig(path)
		said := ""
		if err != nil {
			said = err.Error()
		}
		const root = "config: the custodian does not run as root"
		if os.Geteuid() == 0 && !strings.Contains(said, root) {
			t.Errorf("root may run a custodian: %s", said)
		}
		if want == "" && strings.Contains(strings.Replace(said, root, "", 1), "config:") || !strings.Contains(said, want) {
			t.Errorf("%q: %s", want, said)
		}
	}
}
