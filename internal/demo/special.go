package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// unwanted is the bundle that is deleted before its time, by those who may.
const unwanted = "2026112100000020"

// order is the instruction (유통정지) behind a special deletion.
const order = "유통정지-2026-0117"

// removal is a special deletion (특수삭제) under way.
type removal struct {
	request string
	// approved is when the last needed person had signed.
	approved time.Time
}

// hold places a legal hold, against which a special deletion is refused.
func (d *demo) hold(ctx context.Context) error {
	d.title("법원의 보존조치(legal hold)가 걸린 묶음은 특수삭제도 거절된다", "a legal hold of a court: even special deletion is refused")
	no := d.stored[0].transaction
	type held struct{ Name, State string }
	h, err := answer[held](ctx, d, "manager", "hold", "place", "--transaction", no, "--name", "소송", "--basis", "2026가합0117", "--basis-kind", "court")
	if err != nil {
		return err
	}
	d.say(fmt.Sprintf("권한관리책임자가 %s에 걸었다: %s (court)", no, h.Name), fmt.Sprintf("the access manager placed it on %s: %s (court)", no, h.Name))
	if err := d.refused(ctx, 3, "HELD", "officer", specialArgs(no)...); err != nil {
		return err
	}
	d.say("담당자의 특수삭제 요청: HELD (exit 3)", "an officer's request of special deletion: HELD (exit 3)")
	return nil
}

func specialArgs(transaction string) []string {
	return []string{"special-delete", "request", "--transaction", transaction, "--order", order,
		"--requester", people()[0].name, "--basis", basis, "--reason", "정보주체의 유통정지 요청"}
}

// special is how `sago special-delete` answers, as far as the story looks at it.
type special struct {
	RequestID       string     `json:"request_id"`
	State           string     `json:"state"`
	Needed          int        `json:"needed"`
	Approvals       []any      `json:"approvals"`
	CoolingOffUntil *time.Time `json:"cooling_off_until"`
}

// askRemoval stores a bundle, asks for its special deletion, and has two persons
// approve it.
func (d *demo) askRemoval(ctx context.Context) error {
	d.title("특수삭제: 담당자가 요청하고 두 사람이 저마다의 키로 승인한다", "special deletion: an officer asks, two persons approve with keys of their own")
	b := bundle{transaction: unwanted, subject: people()[0], retain: "P5Y"}
	if err := d.fill(&b, income(b.subject)); err != nil {
		return err
	}
	d.learnSecrets([]bundle{b})
	if _, err := answer[receipt](ctx, d, "app", b.putArgs(b.retain, b.files...)...); err != nil {
		return err
	}
	asked, err := answer[special](ctx, d, "officer", specialArgs(unwanted)...)
	if err != nil {
		return err
	}
	d.figure("%s: 요청 request %s, %s", unwanted, asked.RequestID, asked.State)
	if err := d.refused(ctx, 3, "CIRCULATION_STOPPED", "officer", d.getArgs(unwanted, "-")...); err != nil {
		return err
	}
	d.say("요청과 함께 읽기가 멈춘다: CIRCULATION_STOPPED (exit 3)", "reading stops with the request: CIRCULATION_STOPPED (exit 3)")
	if err := d.refused(ctx, 4, "NOT_PERMITTED", "officer", "special-delete", "approve", "--request", asked.RequestID); err != nil {
		return err
	}
	d.say("요청한 담당자는 승인하지 못한다 (exit 4)", "the officer who asked may not approve (exit 4)")
	for i, x := range []struct{ role, state string }{{"manager", "pending"}, {"approver1", "cooling_off"}} {
		s, err := answer[special](ctx, d, x.role, "special-delete", "approve", "--request", asked.RequestID)
		if err != nil {
			return err
		}
		if s.State != x.state || len(s.Approvals) != i+1 {
			return fmt.Errorf("after %s approved: %+v", x.role, s)
		}
		d.figure("승인 approved by %s: %d/%d, %s", x.role, len(s.Approvals), s.Needed, s.State)
	}
	d.removal = removal{request: asked.RequestID, approved: time.Now()}
	return nil
}

// policyState is what `sago policy show` answers.
type policyState struct {
	Version int `json:"version"`
	Values  []struct{ Key, Value, Stronger, Source string }
}

func (p policyState) value(key string) string {
	for _, v := range p.Values {
		if v.Key == key {
			return v.Value
		}
	}
	return ""
}

// strengthen changes the policy, while the special deletion cools off: up by one
// person, down by nobody.
func (d *demo) strengthen(ctx context.Context) error {
	d.title("숙려 기간 5초 동안: 정책은 한 사람이 강화하고, 아무도 약화하지 못한다", "during the cooling-off of 5 s: one person strengthens the policy, nobody weakens it")
	const key = "history_years"
	before, err := answer[policyState](ctx, d, "auditor", "policy", "show")
	if err != nil {
		return err
	}
	d.figure("policy show: 판 version %d, 값 values %d; approvals %s, cooling_off %s, %s %s", before.Version, len(before.Values),
		before.value("approvals"), before.value("cooling_off"), key, before.value(key))
	type act struct{ State string }
	propose := func(years string) []string {
		return []string{"policy", "propose", "--set", key + "=" + years, "--basis", basis, "--reason", "이력 보존"}
	}
	a, err := answer[act](ctx, d, "manager", propose("5")...)
	if err != nil {
		return err
	}
	after, err := answer[policyState](ctx, d, "auditor", "policy", "show")
	if err != nil {
		return err
	}
	if a.State != "executed" || after.Version != before.Version+1 || after.value(key) != "5" {
		return fmt.Errorf("the act is %s, the policy %+v", a.State, after)
	}
	d.figure("%s %s → %s: %s, 서명 한 사람 one signature, 판 version %d", key, before.value(key), after.value(key), a.State, after.Version)
	if err := d.refused(ctx, 3, "POLICY", "manager", propose("3")...); err != nil {
		return err
	}
	d.say("다시 3년으로: POLICY (exit 3), 몇 사람이 서명해도", "back to 3: POLICY (exit 3), whoever would sign")
	return nil
}

// certificate is what `sago special-delete certificate` answers.
type certificate struct {
	State        string `json:"state"`
	Attestations []any  `json:"attestations"`
	Outstanding  []any  `json:"outstanding"`
}

// removed waits for the deletion on every node and looks at what remains.
func (d *demo) removed(ctx context.Context) error {
	d.title("특수삭제가 집행되고, 파기 증명서가 나온다", "the special deletion is executed and certified")
	final, err := d.awaitCertificate(ctx)
	if err != nil {
		return err
	}
	if err := d.refused(ctx, 5, "SPECIAL_DELETED", "officer", d.getArgs(unwanted, "-")...); err != nil {
		return err
	}
	if err := d.verifyCertificate(ctx, final); err != nil {
		return err
	}
	for i := range d.c.Size() {
		type ledger struct{ Entries []any }
		l, err := answerAt[ledger](ctx, d, i, "auditor", "special-delete", "ledger")
		if err != nil {
			return err
		}
		if i == 0 {
			d.figure("special-delete ledger: %d 단계 steps", len(l.Entries))
		}
	}
	d.say("노드마다 이력, 별도 대장, 시스템 기록의 셋이 같다", "on every node the three records agree: history, separate ledger, system record")
	if err := d.forensic(ctx); err != nil {
		return err
	}
	d.proves("R15", "R16", "R17")
	return nil
}

// awaitCertificate waits until every node has attested the destruction, and answers
// the certificate as it was printed.
func (d *demo) awaitCertificate(ctx context.Context) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	state := ""
	err = testcluster.Await(ctx, "the final certificate", func(ctx context.Context) (bool, string, error) {
		out, err := d.c.Sago(ctx, "auditor", "special-delete", "certificate", "--request", d.removal.request, "--output", "json")
		if err != nil || out.Exit != 0 {
			return false, out.Stderr, err // not executed yet
		}
		var c certificate
		if err := json.Unmarshal([]byte(out.Stdout), &c); err != nil {
			return false, "", err
		}
		if c.State != state {
			state = c.State
			d.figure("승인 뒤 %.1f초 · %.1f s after the approval: 증명서 certificate %s, 확인 attested %d, 남음 outstanding %d",
				time.Since(d.removal.approved).Seconds(), time.Since(d.removal.approved).Seconds(), c.State, len(c.Attestations), len(c.Outstanding))
		}
		text = out.Stdout
		return c.State == "final" && len(c.Attestations) == d.c.Size(), out.Stdout, nil
	})
	return text, err
}

// verifyCertificate has the kept file verified with public keys alone, and a
// changed one refused.
func (d *demo) verifyCertificate(ctx context.Context, text string) error {
	keys, err := d.keysFile(ctx)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name, text string
		exit       int
	}{
		{"certificate.json", text, 0},
		{"forged.json", strings.Replace(text, `"transaction": "`+unwanted, `"transaction": "`+d.stored[0].transaction, 1), 7},
	} {
		path, err := d.file(x.name, []byte(x.text))
		if err != nil {
			return err
		}
		args := []string{"certificate", "verify", path, "--keys", keys, "--output", "json"}
		out, err := d.c.Sago(ctx, "inspector", args...)
		if err := d.wanted(out, err, x.exit, "inspector", args); err != nil {
			return err
		}
	}
	d.say("certificate verify: 공개키만으로 맞음 (exit 0), 거래일련번호를 바꾸면 exit 7", "certificate verify: true by public keys alone (exit 0); with another number in it, exit 7")
	return nil
}

// recovery is what `sagod forensic` reports.
type recovery struct {
	Verdict  string   `json:"verdict"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems"`
	Bundles  []struct {
		Fingerprint string `json:"fingerprint"`
	} `json:"bundles"`
}

// forensic tries everything to recover the bundle from all three data directories
// with their root keys: it is gone. One node's suffice, by the same means, for its
// neighbour.
func (d *demo) forensic(ctx context.Context) error {
	neighbour := d.stored[2]
	r, err := d.search(ctx, neighbour.transaction, "recovered", 3, 1)
	if err != nil {
		return err
	}
	if "sha256:"+r.Bundles[0].Fingerprint != neighbour.receipt.Fingerprint {
		return errors.New("forensic recovered another content than was stored")
	}
	if _, err := d.search(ctx, unwanted, "nothing", 0, d.c.Size()); err != nil {
		return err
	}
	d.say("한 노드의 파일과 루트 키로 이웃은 되찾는다; 지워진 것은 세 노드의 것을 다 뒤져도 없다",
		"the files and root key of one node give its neighbour back; all three nodes' give nothing of what was deleted")
	return nil
}

// search runs `sagod forensic` on the data directories of the first nodes, with
// their root keys.
func (d *demo) search(ctx context.Context, transaction, verdict string, exit, nodes int) (r recovery, err error) {
	begun := time.Now()
	args := []string{"forensic", "--transaction", transaction, "--slide", "64", "--output", "json"}
	var dirs []string
	for i := range nodes {
		args = append(args, "--roots", filepath.Join(d.c.NodeDir(i), "keys", "root.key"))
		dirs = append(dirs, d.c.DataDir(i))
	}
	out, err := d.c.Sagod(ctx, append(args, dirs...)...)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil {
		return r, fmt.Errorf("%w: %s", err, out.Stderr)
	}
	if out.Exit != exit || r.Verdict != verdict || len(r.Bundles) != 1 {
		return r, fmt.Errorf("forensic of %s: exit %d, %+v", transaction, out.Exit, r)
	}
	d.figure("sagod forensic %s: %s (exit %d; 노드 nodes %d, 파일 files %d, %.0f MiB, %.1f s)", transaction, r.Verdict, out.Exit, nodes, r.Files,
		float64(r.Bytes)/(1<<20), time.Since(begun).Seconds())
	return r, nil
}
