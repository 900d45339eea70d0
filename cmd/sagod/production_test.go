package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

// site is a production cluster of one node in the making, and its time servers.
type site struct {
	programs
	t         *testing.T
	dir       string
	address   string // of this test process alone, on the loopback network
	ceremony  time.Time
	sources   []*testntp.Server
	plan      string
	endpoints string
}

func newSite(t *testing.T, p programs) *site {
	s := &site{programs: p, t: t, dir: scratch(t), ceremony: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	pid := os.Getpid()
	s.address = fmt.Sprintf("127.91.%d.%d", pid>>8&255, pid&255)
	epoch := testntp.EpochOf(s.ceremony.Add(time.Hour))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for i := range 3 {
		server, err := testntp.Start(ctx, fmt.Sprintf("127.0.0.%d:0", 11+i), testntp.Behaviour{Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		s.sources = append(s.sources, server)
		s.plan += fmt.Sprintf("[[source]]\nname = \"s%d\"\noperator = \"o%d\"\nauth = \"none\"\n", i, i)
		s.endpoints += fmt.Sprintf("[[time.source]]\nname = \"s%d\"\naddress = %q\n", i, server.Addr())
	}
	return s
}

// sagod runs a command of a story and returns its output.
func (s *site) sagod(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.programs.dir, "sagod"), args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("sagod %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// hold is the ceremony: two persons, one institution, one definition.
func (s *site) hold() {
	s.t.Helper()
	s.sagod("init", "ca", "--dir", "ca")
	for _, who := range []string{"officer", "app", "auditor"} {
		s.sagod("init", "certificate", "--ca", "ca", "--name", who, "--role", "client", "--department", "d", "--email", who+"@demo.example", "--out", who+".pem")
	}
	s.sagod("init", "certificate", "--ca", "ca", "--name", "n1", "--role", "server", "--host", s.address, "--out", "tls.pem")
	s.write("node.toml", "name = \"n1\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\n")
	s.sagod("init", "node", "--config", "node.toml", "--number", "1", "--out", "r1.json")
	s.write("plan.toml", "production = true\nsingle = true\ntime = "+s.ceremony.Format(time.RFC3339)+`
authorities = ["ca/ca.pem"]
[[institution]]
number = 1
code = "demo"
[[definition]]
institution = 1
bundle_id = "MDS0000001"
[[person]]
id = 1
role = "officer"
institution = 1
certificate = "officer.pem"
[[person]]
id = 2
role = "application"
institution = 1
certificate = "app.pem"
[[person]]
id = 3
role = "auditor"
institution = 1
certificate = "auditor.pem"
`+s.plan)
	s.sagod("init", "document", "--request", "r1.json", "--plan", "plan.toml", "--out", "doc.act")
	s.sagod("init", "sign", "doc.act", "--person", "3", "--key", "auditor.key")
	s.sagod("init", "sign", "doc.act", "--person", "1", "--key", "officer.key")
	s.contexts()
}

func (s *site) contexts() {
	s.t.Helper()
	signed, act, ceremony, err := readCeremony(filepath.Join(s.dir, "doc.act"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "contexts"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, who := range []string{"officer", "app", "auditor"} {
		s.write("contexts/"+who+".toml", fmt.Sprintf("endpoints = [%q]\nca = \"../ca/ca.pem\"\ncertificate = \"../%s.pem\"\nkey = \"../%s.key\"\ncluster_id = \"%x\"\n[[node]]\nname = \"n1\"\npublic_key = %q\n",
			s.address+":7400", who, who, act.Cluster, base64.StdEncoding.EncodeToString(ceremony.Nodes[0].PublicKey)))
	}
	digest := digestOf(signed)
	s.write("base.toml", fmt.Sprintf("name = \"n1\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\nceremony = \"doc.act\"\nceremony_digest = %q\nlisten_client = %q\nlisten_node = %q\n[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n",
		hex.EncodeToString(digest[:]), s.address+":7400", s.address+":7401"))
}

// awaitClock waits for a status of the node's clock and returns the answer.
func (s *site) awaitClock(good func(map[string]any) bool) map[string]any {
	s.t.Helper()
	var status map[string]any
	s.poll(s.t, func() (err error) {
		if status, err = s.programs.sago(s.dir, "auditor", "clock", "status"); err == nil && !good(status) {
			err = fmt.Errorf("clock status: %v", status)
		}
		return err
	})
	return status
}

// production holds a ceremony and runs its one node: first with
// a file that does not name all time sources of the policy (it says so, and has
// no time), then with the right one, by time servers alone. The host's own date
// is never near.
func (p programs) production(t *testing.T) {
	s := newSite(t, p)
	s.hold()
	base, err := os.ReadFile(filepath.Join(s.dir, "base.toml"))
	if err != nil {
		t.Fatal(err)
	}
	two, _, _ := strings.Cut(s.endpoints, "[[time.source]]\nname = \"s2\"")
	config := filepath.Join(s.dir, "node.toml")

	s.write("node.toml", string(base)+two)
	d := s.start(t, "run", "--config", config)
	status := s.awaitClock(func(status map[string]any) bool { return status["status"] == "unsynchronized" })
	if detail, _ := status["detail"].(string); !strings.Contains(detail, "differs from policy") || status["clock"] != nil {
		t.Errorf("clock status: %v", status)
	}
	d.stop(t)

	s.write("node.toml", string(base)+s.endpoints)
	d = s.start(t, "run", "--config", config)
	status = s.awaitClock(func(status map[string]any) bool {
		return status["status"] == "synchronized" && status["clock"] != nil
	})
	clock, err := time.Parse(time.RFC3339, status["clock"].(string))
	if err != nil || clock.Before(s.ceremony.Add(time.Hour)) || clock.After(s.ceremony.Add(2*time.Hour)) || status["development"] != false {
		t.Errorf("clock status: %v, %v", status, err)
	}
	s.poll(t, func() error {
		status, err := s.programs.sago(s.dir, "auditor", "cluster", "status")
		if err == nil && (status["ready"] != true || status["single"] != true) {
			err = fmt.Errorf("cluster status: %v", status)
		}
		return err
	})
	s.storedBefore(t, s.dir, []byte("<문서/>"), false)
	if out, err := exec.Command(filepath.Join(s.programs.dir, "sagod"), "dev", "--remove", "--dir", s.dir).CombinedOutput(); err == nil {
		t.Errorf("production removed: %s", out)
	}
	d.stop(t)
	if errs := d.errs.String(); strings.Contains(errs, "officer") || strings.Contains(errs, "MDS0000001") {
		t.Errorf("log names somebody or something stored: %s", errs)
	}
}

// TestNodeIsOpenedAgain closes a node under a development cluster, as one that
// stopped by itself, and opens it again in the same process.
func TestNodeIsOpenedAgain(t *testing.T) {
	d, err := openDevDir(filepath.Join(scratch(t), "d"), 1, devPolicy())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.lock.Close(); err != nil {
			t.Error(err)
		}
	}()
	var out, errs strings.Builder
	s := &shell{ctx: t.Context(), stdout: &out, stderr: &errs}
	k, err := d.cluster("127.0.0.1:0", nil, s.logger(slog.LevelError))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range k.units {
		u.probe = nil // the child process would be this test
	}
	if err := k.start(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if !k.awaitReady(ctx) {
		t.Fatal("not ready")
	}
	before, at := k.units[0].current(), k.units[0].cfg.ListenClient
	if err := k.reopen(ctx, k.units[0]); err != nil {
		t.Fatal(err)
	}
	if !k.awaitReady(ctx) || k.units[0].current() == before || k.units[0].cfg.ListenClient != at {
		t.Fatal("not ready again, or elsewhere")
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
}
