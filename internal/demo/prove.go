package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

type verification struct {
	Intact       bool   `json:"intact"`
	RootsEqual   bool   `json:"roots_equal"`
	ComparedSize uint64 `json:"compared_size"`
	Nodes        []struct {
		Node        string   `json:"node"`
		Reachable   bool     `json:"reachable"`
		HistorySize uint64   `json:"history_size"`
		Chunks      uint64   `json:"chunks"`
		KeySlots    uint64   `json:"key_slots"`
		Rows        uint64   `json:"rows"`
		Damage      []string `json:"damage"`
	} `json:"nodes"`
}

// rootsEqual waits until every node has the same history, and compares the roots.
func (d *demo) rootsEqual(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return testcluster.Await(ctx, "equal roots", func(ctx context.Context) (bool, string, error) {
		s, err := answer[clusterState](ctx, d, "admin", "cluster", "status")
		if err != nil {
			return false, "", err
		}
		state := ""
		for _, n := range s.Nodes {
			state += fmt.Sprintf("%s %d %.12s; ", n.ID, n.HistorySize, n.HistoryRoot)
			if !n.Reachable || n.HistorySize != s.Nodes[0].HistorySize {
				return false, state, nil
			}
			if n.HistoryRoot != s.Nodes[0].HistoryRoot {
				return false, state, fmt.Errorf("the histories differ: %s", state)
			}
		}
		d.figure("이력 history %d, 세 루트가 같음 three roots equal: %.16s…", s.Nodes[0].HistorySize, s.Nodes[0].HistoryRoot)
		return true, state, nil
	})
}

type bundleCheck struct {
	Intact bool     `json:"intact"`
	Node   string   `json:"node"`
	Damage []string `json:"damage"`
}

// flipBit changes one bit of a stored payload on one node.
func (d *demo) flipBit(ctx context.Context) error {
	d.title("한 노드의 파일에서 한 비트를 뒤집는다", "one bit of one node's file is flipped")
	i, err := d.follower(ctx)
	if err != nil {
		return err
	}
	b := d.stored[3]
	file, err := d.flipIn(i, size(b.contents))
	if err != nil {
		return err
	}
	args := []string{"bundle", "verify", "--transaction", b.transaction, "--output", "json"}
	out, err := d.c.SagoAt(ctx, i, "auditor", args...)
	if err := d.wanted(out, err, 7, "auditor", args); err != nil {
		return err
	}
	var check bundleCheck
	if err := json.Unmarshal([]byte(out.Stdout), &check); err != nil {
		return fmt.Errorf("%w: %s", err, out.Stdout)
	}
	if check.Intact || check.Node != d.c.Name(i) || len(check.Damage) == 0 || !strings.Contains(check.Damage[0], file) {
		return fmt.Errorf("verify did not name %s of %s: %+v", file, d.c.Name(i), check)
	}
	d.figure("찾음 found (exit 7): %s: %s", check.Node, check.Damage[0])
	begun := time.Now()
	if err := d.awaitHealed(ctx, i, args); err != nil {
		return err
	}
	if err := d.readAll(ctx, i); err != nil {
		return err
	}
	d.figure("다른 노드에서 나음 healed from a peer: %.1f s; 바이트가 같음 bytes equal", time.Since(begun).Seconds())
	if err := d.repairRecorded(ctx, i); err != nil {
		return err
	}
	d.proves("R8")
	return nil
}

// flipIn flips a bit in the middle of the chunk of a bundle of this size, and
// answers the file's name in the data directory.
func (d *demo) flipIn(i, size int) (file string, err error) {
	chunks, err := d.c.Chunks(i)
	if err != nil {
		return "", err
	}
	for _, c := range chunks {
		if len(c.Ciphertext) > size && len(c.Ciphertext) < size+4096 {
			return filepath.Join(filepath.Base(filepath.Dir(c.File)), filepath.Base(c.File)), d.c.Flip(c.File, c.Offset+int64(len(c.Ciphertext)/2))
		}
	}
	return "", fmt.Errorf("no chunk on %s is as large as the PDF's", d.c.Name(i))
}

func (d *demo) awaitHealed(ctx context.Context, i int, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return testcluster.Await(ctx, d.c.Name(i)+" healed", func(ctx context.Context) (bool, string, error) {
		out, err := d.c.SagoAt(ctx, i, "auditor", args...)
		return out.Exit == 0, out.Stdout + out.Stderr, err
	})
}

// repairRecorded looks for the damage and its repair in the history: in the
// appliance's own part, which its own auditor reads.
func (d *demo) repairRecorded(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return testcluster.Await(ctx, "DAMAGE and REPAIR in the history", func(ctx context.Context) (bool, string, error) {
		var seen []string
		for _, action := range []string{"DAMAGE", "REPAIR"} {
			listed, err := answer[history](ctx, d, "inspector", "history", "list", "--action", action)
			if err != nil {
				return false, "", err
			}
			if len(listed.Records) > 0 {
				seen = append(seen, fmt.Sprintf("%s %d", action, listed.Records[0].Sequence))
			}
		}
		if len(seen) < 2 {
			return false, strings.Join(seen, " "), nil
		}
		d.figure("이력 history: %s (%s)", strings.Join(seen, ", "), d.c.Name(i))
		return true, "", nil
	})
}

// verify has everything checked by everybody.
func (d *demo) verify(ctx context.Context) error {
	d.title("모두 검증한다", "everything is verified")
	v, err := answer[verification](ctx, d, "auditor", "cluster", "verify")
	if err != nil {
		return err
	}
	if !v.Intact || !v.RootsEqual || len(v.Nodes) != d.c.Size() {
		return fmt.Errorf("cluster verify: %+v", v)
	}
	for _, n := range v.Nodes {
		if !n.Reachable || len(n.Damage) > 0 {
			return fmt.Errorf("cluster verify: %+v", n)
		}
		d.figure("%s: 이력 records %d, 덩이 chunks %d, 키 keys %d, 행 rows %d", n.Node, n.HistorySize, n.Chunks, n.KeySlots, n.Rows)
	}
	type proof struct {
		Intact  bool     `json:"intact"`
		Size    uint64   `json:"size"`
		Signers []string `json:"signers"`
		Needed  int      `json:"needed"`
	}
	p, err := answer[proof](ctx, d, "auditor", "history", "verify")
	if err != nil {
		return err
	}
	if !p.Intact || len(p.Signers) < p.Needed {
		return fmt.Errorf("history verify: %+v", p)
	}
	d.figure("history verify: %d, 서명 signed by %s (%d 필요 needed)", p.Size, strings.Join(p.Signers, " "), p.Needed)
	if err := d.sameDeadline(ctx); err != nil {
		return err
	}
	d.proves("R13")
	return d.apart()
}

// learnSecrets notes what names a person or tells of a document.
func (d *demo) learnSecrets(all []bundle) {
	for _, p := range people() {
		d.secrets.word("name "+p.name, []byte(p.name))
		d.secrets.word("resident number of "+p.name, []byte(p.number))
		d.secrets.word("CI of "+p.name, []byte(p.ci))
		d.secrets.word("address of "+p.name, []byte(p.address))
	}
	for what, text := range map[string]string{"purpose": purpose, "user name": userName, "department": userDepartment, "contact": userContact, "basis": basis} {
		d.secrets.word(what, []byte(text))
	}
	for _, b := range all {
		for _, c := range b.contents {
			d.secrets.text("plaintext of "+b.transaction, c)
			sum := sha256.Sum256(c)
			d.secrets.text("fingerprint of "+b.transaction, sum[:])
			d.secrets.word("fingerprint of "+b.transaction, fmt.Appendf(nil, "%x", sum))
		}
	}
}

// scanAll looks for all of it in every file of every node.
func (d *demo) scanAll(ctx context.Context) error {
	d.title("노드의 모든 파일에서 사람과 문서를 찾아본다", "every file of every node is searched for people and documents")
	// What the command line was given lies beside the nodes, and shows that the
	// search finds what is there.
	var hit *found
	if _, err := d.secrets.scan(ctx, filepath.Join(d.c.Dir(), "documents")); !errors.As(err, &hit) {
		return fmt.Errorf("the search finds nothing in the documents themselves: %w", err)
	}
	var all scanned
	for i := range d.c.Size() {
		s, err := d.secrets.scan(ctx, d.c.NodeDir(i))
		if err != nil {
			return err
		}
		all.add(s)
	}
	d.say(fmt.Sprintf("이름, 주민등록번호, CI, 주소, 이용자, 목적, 본문, 지문: 없다 (파일 %d개, %.0f MiB, 로그와 자유 페이지까지)", all.files, mib(all)),
		fmt.Sprintf("names, resident numbers, CIs, addresses, users, purposes, texts, fingerprints: none (%d files, %.0f MiB, logs and free pages included)", all.files, mib(all)))
	d.proves("R27")
	return nil
}
