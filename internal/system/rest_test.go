package system_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// secrets are what no file of a node may hold, by what they are.
func secrets() map[string]string {
	return map[string]string{
		"content":         "CANARY-7f3a91c0d2-건강보험자격득실확인서",
		"resident number": "900101-1234567",
		"CI":              "CI-Zm9yYmlkZGVuLWNvbm5lY3Rpbmc=",
		"user name":       "홍비밀동",
		"department":      "여신심사비밀과",
		"contact":         "02-7654-0123",
		"purpose":         "대출심사비밀목적",
		"basis":           "전자정부법비밀근거",
		"file name":       "비밀문서이름",
		"common name":     "김비밀담당",
		"unit of the DN":  "민원비밀담당관",
		"mail of the DN":  "p31@other.example",
		"denied purpose":  "거절된비밀목적",
		"use's purpose":   "이용내역비밀목적",
	}
}

// TestNothingReadableAtRest stores, reads, uses and is denied, and then looks
// through every byte of every node: data, keys, raft log, index, freed pages and
// what the processes logged.
func TestNothingReadableAtRest(t *testing.T) {
	ctx := bounded(t, time.Minute)
	s := newSite(t, testcluster.Options{LogLevel: "debug"})
	secret := secrets()
	s.hold(ctx, amend{persons: []person{{31, secret["common name"], "officer", secret["unit of the DN"], 1}}})
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.doSecretly(ctx, secret)
	s.nothingReadable(secret, "while running")
	for i := range s.Size() {
		must(t, s.Stop(ctx, i))
	}
	s.nothingReadable(secret, "stopped")
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.nothingReadable(secret, "started again")
	// The needles are those of the answers: what is sought is what was told.
	list := fmt.Sprint(s.sago(ctx, 0, 1, "auditor", "history", "list"))
	for _, what := range []string{"purpose", "user name", "department", "contact", "common name"} {
		if !strings.Contains(list, secret[what]) {
			t.Errorf("the auditor does not find the %s in the history", what)
		}
	}
}

// doSecretly has every secret go into the appliance.
func (s *site) doSecretly(ctx context.Context, secret map[string]string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), secret["file name"]+".xml")
	document := "<문서><주민등록번호>" + secret["resident number"] + "</주민등록번호><내용>" + secret["content"] + "</내용></문서>"
	must(s.t, os.WriteFile(file, []byte(strings.Repeat(document, 200)), 0o600))
	out := filepath.Join(s.t.TempDir(), "out")
	who := []string{"--user-name", secret["user name"], "--user-department", secret["department"], "--user-contact", secret["contact"]}
	for k, retain := range []string{"P5Y", "PT5S", "one-time:P30D"} {
		number := fmt.Sprint("R-", k)
		s.sago(ctx, 0, k, "app", "bundle", "put", "--transaction", number, "--bundle-id", testcluster.BundleID, "--subject-ci", secret["CI"],
			"--retain", retain, "--basis", secret["basis"], file)
		s.sago(ctx, 0, k, "app", append([]string{"bundle", "get", "--transaction", number, "--purpose", secret["purpose"], "-o", out}, who...)...)
		s.sago(ctx, 0, k, secret["common name"], "bundle", "get", "--transaction", "R-0", "--purpose", secret["purpose"], "-o", out)
		s.sago(ctx, 4, k, "admin", append([]string{"bundle", "get", "--transaction", number, "--purpose", secret["denied purpose"], "-o", out}, who...)...)
	}
	s.sago(ctx, 0, 0, "app", append([]string{"usage", "record", "--transaction", "R-0", "--purpose", secret["use's purpose"]}, who...)...)
	s.sago(ctx, 0, 1, "officer", "usage", "list", "--subject-ci", secret["CI"])
	s.sago(ctx, 0, 1, "auditor", "bundle", "list", "--subject-ci", secret["CI"])
	s.sago(ctx, 5, 2, secret["common name"], "bundle", "get", "--transaction", "NOBODYS", "--purpose", secret["denied purpose"])
}

// nothingReadable looks for the secrets as they are, in hex and in base64.
func (s *site) nothingReadable(secret map[string]string, when string) {
	s.t.Helper()
	needles := map[string][]byte{}
	for what, text := range secret {
		raw := []byte(text)
		needles[what] = raw
		needles[what+" in hex"] = []byte(hex.EncodeToString(raw))
		for shift := range 3 { // base64 of the text at each place within three bytes
			coded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), raw...))
			needles[fmt.Sprint(what, " in base64, ", shift)] = []byte(coded[4 : len(coded)-4])
		}
	}
	files := 0
	for i := range s.Size() {
		must(s.t, filepath.WalkDir(s.NodeDir(i), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			files++
			raw, err := os.ReadFile(path)
			for what, needle := range needles {
				if at := bytes.Index(raw, needle); at >= 0 {
					s.t.Errorf("%s: the %s stands in %s at %d", when, what, path, at)
				}
			}
			return err
		}))
	}
	if files < 10*s.Size() {
		s.t.Errorf("only %d files were looked through", files)
	}
}
