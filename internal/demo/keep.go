package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"

	"github.com/sago-worm/sago/internal/testcluster"
)

// bundle is one stored bundle of the story.
type bundle struct {
	transaction string
	subject     person
	retain      string
	files       []string
	contents    [][]byte
	receipt     receipt
}

// receipt and the others below are the answers of `sago --output json`
// (docs/cli.md), as far as the story looks at them.
type receipt struct {
	Transaction     string  `json:"transaction"`
	Fingerprint     string  `json:"fingerprint"`
	RetainUntil     *string `json:"retain_until"`
	HistorySequence uint64  `json:"history_sequence"`
	AlreadyStored   bool    `json:"already_stored"`
}

type shownBundle struct {
	receipt
	State    string  `json:"state"`
	Deadline *string `json:"deadline"`
	Replicas []struct{ Node, State string }
}

type clusterState struct {
	Leader     string `json:"leader"`
	Ready      bool   `json:"ready"`
	Production bool   `json:"production"`
	Nodes      []struct {
		ID          string `json:"id"`
		State       string `json:"state"`
		HistorySize uint64 `json:"history_size"`
		HistoryRoot string `json:"history_root"`
		Reachable   bool   `json:"reachable"`
		Protection  string `json:"protection"`
	} `json:"nodes"`
}

type clockState struct {
	Clock      time.Time `json:"clock"`
	Status     string    `json:"status"`
	Earliest   time.Time `json:"earliest"`
	Latest     time.Time `json:"latest"`
	LagSeconds float64   `json:"lag_seconds"`
	Sources    []struct {
		Name, Operator, Auth string
		Selected             bool
	} `json:"sources"`
}

// describeCluster shows leader, protection and time.
func (d *demo) describeCluster(ctx context.Context) error {
	state, err := answer[clusterState](ctx, d, "admin", "cluster", "status")
	if err != nil {
		return err
	}
	if !state.Ready || !state.Production || len(state.Nodes) != d.c.Size() {
		return fmt.Errorf("cluster status: %+v", state)
	}
	clock, err := answer[clockState](ctx, d, "admin", "clock", "status")
	if err != nil {
		return err
	}
	var selected []string
	for _, s := range clock.Sources {
		if s.Selected {
			selected = append(selected, fmt.Sprintf("%s(%s, %s)", s.Name, s.Operator, s.Auth))
		}
	}
	if clock.Status != "synchronized" || len(selected) < 3 {
		return fmt.Errorf("clock status: %+v", clock)
	}
	d.figure("리더 leader %s · 보호 protection %s", state.Leader, state.Nodes[0].Protection)
	d.figure("시간 time %s, ±%.2f ms: %s", clock.Status, clock.Latest.Sub(clock.Earliest).Seconds()*500, strings.Join(selected, " "))
	d.proves("R4")
	return nil
}

// bundles are what the story stores.
func bundles() []bundle {
	p := people()
	return []bundle{
		{transaction: "2026112100000001", subject: p[0], retain: "P5Y"},
		{transaction: "2026112100000002", subject: p[1], retain: "P10Y"},
		{transaction: "2026112100000003", subject: p[2], retain: "2031-12-31"},
		{transaction: "2026112100000004", subject: p[3], retain: "P3Y"},
	}
}

// basis is why the bundles are kept.
const basis = "신용정보의 이용 및 보호에 관한 법률"

func (b *bundle) putArgs(retain string, files ...string) []string {
	return append([]string{"bundle", "put", "--transaction", b.transaction, "--bundle-id", testcluster.BundleID,
		"--subject-ci", b.subject.ci, "--retain", retain, "--basis", basis}, files...)
}

func (d *demo) store(ctx context.Context) error {
	d.title("본인정보를 저장한다: 확인서 셋과, PDF가 든 묶음 하나", "bundles are stored: three certificates, and one with a PDF")
	all := bundles()
	for i, make := range []func(person) document{insurance, residence, income, income} {
		if err := d.fill(&all[i], make(all[i].subject)); err != nil {
			return err
		}
	}
	scanned := certificatePDF([]string{"소득금액증명 (지어낸 문서)", all[3].subject.name, all[3].subject.number, all[3].subject.address})
	if err := d.add(&all[3], ".pdf", scanned); err != nil {
		return err
	}
	d.learnSecrets(all)
	for _, b := range all {
		begun := time.Now()
		r, err := answer[receipt](ctx, d, "app", b.putArgs(b.retain, b.files...)...)
		if err != nil {
			return err
		}
		if want := fingerprint(b.contents); r.Fingerprint != want || r.AlreadyStored || r.RetainUntil == nil {
			return fmt.Errorf("receipt %+v, fingerprint computed outside %s", r, want)
		}
		b.receipt = r
		d.stored = append(d.stored, b)
		d.figure("%s %-10s %6d B  %s… 까지 until %s (%.0f ms)", b.transaction, b.retain, size(b.contents), r.Fingerprint[:19], *r.RetainUntil, ms(begun))
	}
	d.say("지문은 제품 밖에서 계산한 SHA-256과 같다", "the fingerprints equal SHA-256 computed outside the product")
	d.proves("R7", "R11", "R19")
	return d.sameDeadline(ctx)
}

// fill gives a bundle its certificate.
func (d *demo) fill(b *bundle, doc document) error {
	data, err := doc.bytes()
	if err != nil {
		return err
	}
	return d.add(b, ".xml", data)
}

func (d *demo) add(b *bundle, ending string, data []byte) error {
	path, err := d.file(b.transaction+ending, data)
	b.files, b.contents = append(b.files, path), append(b.contents, data)
	return err
}

// sameDeadline asks each node alone.
func (d *demo) sameDeadline(ctx context.Context) error {
	for _, b := range d.stored {
		first := ""
		for i := range d.c.Size() {
			var shown shownBundle
			err := testcluster.Await(ctx, "the deadline of "+b.transaction, func(ctx context.Context) (done bool, state string, err error) {
				shown, err = answerAt[shownBundle](ctx, d, i, "auditor", "bundle", "show", "--transaction", b.transaction)
				return shown.Deadline != nil, shown.State, err
			})
			if err != nil {
				return err
			}
			if first == "" {
				first = *shown.Deadline
			}
			if *shown.Deadline != first || shown.Fingerprint != b.receipt.Fingerprint || shown.State != "active" {
				return fmt.Errorf("%s says %+v, another node the deadline %s", d.c.Name(i), shown, first)
			}
		}
	}
	d.say("세 노드에 하나씩 물어도 기한과 지문이 같다", "asked one by one, the three nodes show the same deadline and fingerprint")
	d.proves("R12")
	return nil
}

func (d *demo) read(ctx context.Context) error {
	d.title("목적을 밝히고 읽는다", "bundles are read, for a purpose")
	begun := time.Now()
	for i := range d.c.Size() {
		if err := d.readAll(ctx, i); err != nil {
			return err
		}
	}
	d.figure("%d × %d 회 읽음 reads, 바이트가 같음 bytes equal (%.0f ms)", d.c.Size(), len(d.stored), ms(begun))
	if err := d.withoutPurpose(ctx); err != nil {
		return err
	}
	if err := d.refused(ctx, 5, "NOT_FOUND", "officer", d.getArgs("2026112199999999", "-")...); err != nil {
		return err
	}
	d.say("없는 거래일련번호 (exit 5)", "a number that nobody stored (exit 5)")
	d.proves("R22")
	return nil
}

// withoutPurpose asks by the command line, which sends nothing, and by the API.
func (d *demo) withoutPurpose(ctx context.Context) (err error) {
	no := d.stored[0].transaction
	if err := d.fails(ctx, 2, "PURPOSE_REQUIRED", "officer", "bundle", "get", "--transaction", no); err != nil {
		return err
	}
	cl, err := d.c.Client(ctx, "officer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	_, _, err = cl.GetBytes(ctx, &sagov1.GetRequest{Transaction: no, Part: 1})
	if client.ReasonOf(err) != "PURPOSE_REQUIRED" {
		return fmt.Errorf("a read without a purpose by the API: %w", err)
	}
	d.denied++ // the command never called; the API recorded its refusal
	d.say("목적이 없으면 읽지 못한다: 명령 (exit 2), API (PURPOSE_REQUIRED)", "without a purpose nothing is read: command (exit 2), API (PURPOSE_REQUIRED)")
	return nil
}

func (d *demo) getArgs(transaction, to string) []string {
	return []string{"bundle", "get", "--transaction", transaction, "--purpose", purpose, "--user-name", userName,
		"--user-department", userDepartment, "--user-contact", userContact, "-o", to}
}

// readAll reads every stored bundle from node i and compares the bytes.
func (d *demo) readAll(ctx context.Context, i int) error {
	dir, err := os.MkdirTemp(d.c.Dir(), "read-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // the whole directory goes at the end anyhow
	for _, b := range d.stored {
		args := append(d.getArgs(b.transaction, dir), "--output", "json")
		out, err := d.c.SagoAt(ctx, i, "app", args...)
		if err := d.wanted(out, err, 0, "app", args); err != nil {
			return err
		}
		for k, f := range b.files {
			got, err := os.ReadFile(filepath.Join(dir, filepath.Base(f)))
			if err != nil {
				return err
			}
			if !bytes.Equal(got, b.contents[k]) {
				return fmt.Errorf("%s from %s: other bytes came back", filepath.Base(f), d.c.Name(i))
			}
		}
	}
	return nil
}

func ms(since time.Time) float64 { return time.Since(since).Seconds() * 1000 }

func size(contents [][]byte) (n int) {
	for _, c := range contents {
		n += len(c)
	}
	return n
}

// fingerprint is computed as docs/formats/payload.md says, by no code of the
// product.
func fingerprint(contents [][]byte) string {
	if len(contents) == 1 {
		return fmt.Sprintf("sha256:%x", sha256.Sum256(contents[0]))
	}
	all := binary.BigEndian.AppendUint32([]byte("sago bundle fingerprint v1\n"), uint32(len(contents)))
	for _, c := range contents {
		sum := sha256.Sum256(c)
		all = append(all, sum[:]...)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(all))
}
