package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/sago-worm/sago/internal/testcluster"
)

// person is somebody whom the cluster's own ceremony does not have.
type person struct {
	id                     int
	name, role, department string
	institution            int
}

// amend is what a test wants of a ceremony beyond testcluster.Options.
type amend struct {
	// institutions beyond the first, by number from 2; each has the one definition.
	institutions []string
	persons      []person
	// time is what two people compared, and what the time servers say from now on.
	time time.Time
}

// hold holds the ceremony of a site anew, by the ceremony's own commands, before
// any node has run.
func (s *site) hold(ctx context.Context, a amend) {
	s.t.Helper()
	plan := s.readTOML(s.path("plan.toml"))
	if !a.time.IsZero() {
		plan["time"] = a.time
		s.setTime(a.time)
	}
	for i, code := range a.institutions {
		plan["institution"] = append(tables(plan["institution"]), map[string]any{"number": i + 2, "code": code})
		plan["definition"] = append(tables(plan["definition"]), map[string]any{"institution": i + 2, "bundle_id": testcluster.BundleID, "version": 1, "grade": 1})
	}
	for _, p := range a.persons {
		s.enrol(ctx, p, a.institutions)
		plan["person"] = append(tables(plan["person"]), map[string]any{"id": p.id, "role": p.role, "institution": p.institution,
			"certificate": s.path("contexts", p.name+".pem")})
	}
	s.writeTOML(s.path("amended.toml"), plan)
	s.sign(ctx, "amended.toml", "amended.act")
}

// tables makes room for one table more.
func tables(list any) []any {
	var all []any
	switch l := list.(type) {
	case []map[string]any:
		for _, t := range l {
			all = append(all, t)
		}
	case []any:
		all = l
	}
	return all
}

// setTime has all time servers take this for true time now.
func (s *site) setTime(now time.Time) {
	s.shift(now.Sub(s.Now()))
}

// enrol gives a person a certificate, and contexts of each node alone.
func (s *site) enrol(ctx context.Context, p person, institutions []string) {
	s.t.Helper()
	code := testcluster.Institution
	if p.institution > 1 {
		code = institutions[p.institution-2]
	}
	s.init(ctx, "certificate", "--ca", s.path("ca"), "--role", "client", "--name", p.name, "--organization", code,
		"--department", p.department, "--email", fmt.Sprintf("p%d@other.example", p.id), "--out", s.path("contexts", p.name+".pem"))
	for i := range s.Size() {
		file := s.readTOML(s.ContextAt(i, "officer"))
		file["certificate"], file["key"], file["institution"] = p.name+".pem", p.name+".key", code
		s.writeTOML(s.ContextAt(i, p.name), file)
	}
}

// sign makes the document of a plan, signs it and has every file name it.
func (s *site) sign(ctx context.Context, plan, act string) {
	s.t.Helper()
	args := []string{"document", "--plan", s.path(plan), "--out", s.path(act)}
	for i := range s.Size() {
		args = append(args, "--request", filepath.Join(s.NodeDir(i), "keys", "request.json"))
	}
	_, digest, _ := strings.Cut(s.init(ctx, args...), "sha256 ")
	for id, name := range map[int]string{4: "manager", 8: "admin"} {
		s.init(ctx, "sign", s.path(act), "--person", strconv.Itoa(id), "--key", s.path("contexts", name+".key"))
	}
	_, id, _ := strings.Cut(s.init(ctx, "show", s.path(act)), "cluster")
	for i := range s.Size() {
		s.editTOML(s.Config(i), func(file map[string]any) { file["ceremony"], file["ceremony_digest"] = s.path(act), digest })
	}
	contexts, err := filepath.Glob(s.path("contexts", "*.toml"))
	must(s.t, err)
	for _, c := range contexts {
		s.editTOML(c, func(file map[string]any) { file["cluster_id"] = strings.Fields(id)[0] })
	}
}

// init runs a step of the ceremony, which must succeed.
func (s *site) init(ctx context.Context, args ...string) string {
	s.t.Helper()
	out, err := s.Sagod(ctx, append([]string{"init"}, args...)...)
	must(s.t, err)
	if out.Exit != 0 {
		s.t.Fatalf("sagod init %v: exit %d: %s", args, out.Exit, out.Stderr)
	}
	return strings.TrimSpace(out.Stdout)
}

// path is a name in the cluster's directory.
func (s *site) path(names ...string) string {
	return filepath.Join(append([]string{s.Dir()}, names...)...)
}

func (s *site) readTOML(path string) map[string]any {
	s.t.Helper()
	file := map[string]any{}
	_, err := toml.DecodeFile(path, &file)
	must(s.t, err)
	return file
}

func (s *site) writeTOML(path string, file map[string]any) {
	s.t.Helper()
	var text strings.Builder
	must(s.t, toml.NewEncoder(&text).Encode(file))
	must(s.t, os.WriteFile(path, []byte(text.String()), 0o600))
}

func (s *site) editTOML(path string, edit func(map[string]any)) {
	s.t.Helper()
	file := s.readTOML(path)
	edit(file)
	s.writeTOML(path, file)
}
