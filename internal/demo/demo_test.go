package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

func TestPDFTableSaysWhereObjectsAre(t *testing.T) {
	data := certificatePDF([]string{"소득금액증명", people()[0].name})
	if len(data) < 90<<10 || len(data) > 120<<10 {
		t.Errorf("%d bytes, about 100 KB were wanted", len(data))
	}
	tail := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(data)
	if !bytes.HasPrefix(data, []byte("%PDF-1.7\n")) || tail == nil {
		t.Fatal("no PDF")
	}
	table, _ := strconv.Atoi(string(tail[1]))
	if !bytes.HasPrefix(data[table:], []byte("xref\n0 9\n")) {
		t.Fatalf("no table at %d: %.20q", table, data[table:])
	}
	entries := regexp.MustCompile(`(\d{10}) 00000 n \n`).FindAllSubmatch(data[table:], -1)
	if len(entries) != 8 {
		t.Fatalf("%d objects in the table", len(entries))
	}
	for i, e := range entries {
		at, _ := strconv.Atoi(string(e[1]))
		if !bytes.HasPrefix(data[at:], fmt.Appendf(nil, "%d 0 obj\n", i+1)) {
			t.Errorf("object %d is not at %d", i+1, at)
		}
	}
	for _, s := range regexp.MustCompile(`/Length (\d+) >>\nstream\n`).FindAllSubmatchIndex(data, -1) {
		length, _ := strconv.Atoi(string(data[s[2]:s[3]]))
		if !bytes.HasPrefix(data[s[1]+length:], []byte("\nendstream")) {
			t.Errorf("the stream at %d is not %d bytes long", s[1], length)
		}
	}
	if !bytes.Equal(data, certificatePDF([]string{"소득금액증명", people()[0].name})) {
		t.Error("two runs make two documents")
	}
}

func TestDocumentsAreXMLAboutNobody(t *testing.T) {
	for _, p := range people() {
		month, _ := strconv.Atoi(p.number[2:4])
		day, _ := strconv.Atoi(p.number[4:6])
		if month <= 12 || day <= 31 || len(p.ci) != 88 {
			t.Errorf("%s could be somebody", p.name)
		}
		for _, doc := range []document{insurance(p), residence(p), income(p)} {
			data, err := doc.bytes()
			if err != nil {
				t.Fatal(err)
			}
			var back struct {
				Title string `xml:"title,attr"`
				Name  string `xml:"Subject>Name"`
				CI    string `xml:"Subject>CI"`
				Items struct {
					Lines []item `xml:",any"`
				} `xml:"Items"`
			}
			if err := xml.Unmarshal(data, &back); err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if back.Title != doc.Title || back.Name != p.name || back.CI != p.ci || len(back.Items.Lines) != len(doc.Items) ||
				back.Items.Lines[0].XMLName.Local != doc.Items[0].XMLName.Local {
				t.Errorf("came back as %+v from\n%s", back, data)
			}
		}
	}
}

func TestScanFindsWhatIsThereAndNothingElse(t *testing.T) {
	text, err := insurance(people()[0]).bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := newNeedles()
	n.text("text", text)
	n.word("name", []byte(people()[1].name))
	n.word("too short to look for", []byte("short"))
	noise := make([]byte, 1<<16)
	for name, c := range map[string]struct {
		data []byte
		want bool
	}{
		"nothing":                   {noise, false},
		"short word":                {append(noise[:100:100], "short"...), false},
		"whole":                     {text, true},
		"31 bytes from the middle":  {append(noise[:777:777], text[101:101+2*piece-1]...), true},
		"a name at the end":         {append(noise[:len(noise):len(noise)], people()[1].name...), true},
		"all but the name's end":    {append(noise[:9:9], people()[1].name[:8]...), false},
		"another person's name":     {append(noise[:9:9], people()[2].name...), false},
		"seven bytes, then nothing": {text[:7], false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := n.scan(t.Context(), dir)
			var hit *found
			if errors.As(err, &hit) != c.want || (!c.want && err != nil) || s.files != 1 || s.bytes != int64(len(c.data)) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.scan(ended, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan that was cut off: %v", err)
	}
}

func TestTableCallsNothingShownThatWasNot(t *testing.T) {
	var out bytes.Buffer
	s := &story{out: &out, begun: time.Now(), partly: map[string]string{}}
	s.proves("R7", "R8", "R4", "R5", "R22")
	s.skip("까닭", "the reason", "R5")
	for numbers, want := range map[string]string{"R7 R8": "shown", "R4 R5": "partly", "R3": "NOT SHOWN"} {
		if got, _ := s.verdict(row{requirements: numbers}); got != want {
			t.Errorf("%s: %s instead of %s", numbers, got, want)
		}
	}
	s.table()
	for _, line := range []string{"* R5: skipped: the reason", "* R3: no step showed it", "also shown: R22\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the table lacks %q:\n%s", line, &out)
		}
	}
}

func TestFingerprintOfSeveralDocuments(t *testing.T) {
	one, two := []byte("a"), []byte("b")
	// By sha256sum and xxd: of the one document; of the prefix, 00000002 and both values.
	if got := fingerprint([][]byte{one}); got != "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" {
		t.Error(got)
	}
	if got := fingerprint([][]byte{one, two}); got != "sha256:87d2dc436fc103ca5a240c7662c41e736e71e46807008f7cb19735e02c10c874" {
		t.Error(got)
	}
}

// TestHolderMovesNothingWhileAnotherDoes: two would set back what the other had
// moved.
func TestHolderMovesNothingWhileAnotherDoes(t *testing.T) {
	var lock net.Listener
	err := testcluster.Await(t.Context(), "the wall clock's lock", func(context.Context) (bool, string, error) {
		l, err := net.Listen("unix", clockLock) // a demo may run beside the tests
		lock = l
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	before, err := wallMinusBoot()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if exit := holdWallClock(strings.NewReader(""), &said, &said); exit != exitTaken || said.Len() > 0 {
		t.Errorf("exit %d, %q", exit, &said)
	}
	after, err := wallMinusBoot()
	if err != nil || (after-before).Abs() > time.Hour {
		t.Errorf("the wall clock moved by %v: %v", after-before, err)
	}
}
