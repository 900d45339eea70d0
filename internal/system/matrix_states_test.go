package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// matrixState is a state that a bundle can be in, and how it gets there.
type matrixState struct {
	name, code string // code begins the numbers of its bundles
	retain     string
	second     bool // of the second institution, whose state it is
	any        bool // not about a bundle: the rest of the calls
	stopped    bool // a special deletion is asked for all its bundles
	// hold is placed on the subject after the deletions are asked for.
	hold bool
	// begin brings the bundles there after they are stored.
	begin func(*matrix, context.Context, *matrixState)
	// stays says that the bundles must be there to the last.
	stays bool
}

// The name of every hold, and the id of the one view of a one-time bundle.
const matrixHold = "수사"

var theView = []byte("the view before.")

func matrixStates() []matrixState {
	return []matrixState{
		{name: "no bundle in particular", code: "ANY", retain: "P5Y", any: true, stays: true},
		{name: "locked", code: "LOCKED", retain: "P5Y", stays: true},
		{name: "held", code: "HELD", retain: "P5Y", hold: true, stays: true},
		{name: "held past its deadline", code: "LATE", retain: "PT20S", hold: true, stays: true, begin: (*matrix).late},
		{name: "expired and erased", code: "GONE", retain: "PT20S", begin: (*matrix).gone},
		{name: "one-time, unread", code: "ONCE", retain: "one-time", stays: true},
		{name: "one-time, read", code: "READ", retain: "one-time", stays: true},
		{name: "waiting for its event", code: "EVENT", retain: "event:P3Y", stays: true},
		{name: "special deletion pending", code: "STOPPED", retain: "P5Y", stopped: true, stays: true},
		{name: "specially deleted", code: "DELETED", retain: "P5Y", stopped: true, begin: (*matrix).deleted},
		{name: "institution suspended", code: "SUSPENDED", retain: "P5Y", second: true, begin: (*matrix).suspend},
		{name: "institution closed", code: "CLOSED", retain: "P5Y", second: true, begin: (*matrix).close},
	}
}

// firstOfSecond is where the states of the second institution begin; they come one
// after the other.
const firstOfSecond = 10

func secondRoles() []string {
	return []string{"app2", "officer2", "manager2", "approver4", "auditor2"}
}

func (s *matrixState) roles() []string {
	if s.second {
		return secondRoles()
	}
	return roles()
}

// as is who plays a role of the first institution in the state's own.
func (s *matrixState) as(role string) string {
	if s.second {
		return role + "2"
	}
	return role
}

// bundleOf is the number of the bundle that a cell is about: its own where the
// call lawfully changes something.
func (s *matrixState) bundleOf(r matrixRow, role string) string {
	switch {
	case r.changedBy(role):
		return fmt.Sprintf("%s-%s-%s", s.code, strings.NewReplacer("Service/", "", ", ", "-", " ", "-").Replace(r.name), role)
	case r.act:
		return s.code + "-ACT"
	default:
		return s.code
	}
}

// prepare stores the bundles of a state, and does what is done in time for all.
func (m *matrix) prepare(ctx context.Context, s *matrixState) {
	asked := map[string]bool{s.code: s.stopped, s.code + "-ACT": true}
	if !s.any {
		for _, r := range m.rows {
			for _, role := range s.roles() {
				if r.changedBy(role) && r.of == bundles {
					asked[s.bundleOf(r, role)] = r.act || s.stopped
				}
			}
		}
	}
	var storing sync.WaitGroup
	for transaction, act := range asked {
		storing.Go(func() { m.store(ctx, s, transaction, act) })
	}
	storing.Wait()
	if s.hold {
		done[*sagov1.HoldServicePlaceResponse](m, ctx, "manager", "HoldService/Place",
			&sagov1.HoldServicePlaceRequest{SubjectCi: "CI-" + s.code, Name: matrixHold, Basis: "형사소송법 제106조"})
	}
}

// store puts one bundle; act asks for its special deletion.
func (m *matrix) store(ctx context.Context, s *matrixState, transaction string, act bool) {
	stored := done[*sagov1.PutResponse](m, ctx, s.as("app"), "BundleService/Put", matrixPut(s, transaction, string(contentOf(transaction))))
	if s.code == "READ" {
		done[*sagov1.GetResponse](m, ctx, "officer", "BundleService/Get", &sagov1.GetRequest{Transaction: transaction, Part: 1, Who: matrixWho(), RequestId: theView})
	}
	var asked *sagov1.SpecialDeleteServiceRequestResponse
	if act {
		asked = done[*sagov1.SpecialDeleteServiceRequestResponse](m, ctx, s.as("officer"), "SpecialDeleteService/Request", matrixRequest(transaction))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.receipts[transaction] = stored.GetReceipt()
	if act {
		m.acts[transaction] = asked.GetRequest().GetAct()
	}
}

// numbers are those of a state's bundles.
func (m *matrix) numbers(s *matrixState) (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for transaction := range m.receipts {
		if transaction == s.code || strings.HasPrefix(transaction, s.code+"-") {
			all = append(all, transaction)
		}
	}
	slices.Sort(all)
	return all
}

// reach waits until every bundle of a state is shown so.
func (m *matrix) reach(ctx context.Context, s *matrixState, state string) {
	for _, transaction := range m.numbers(s) {
		if err := testcluster.Await(ctx, transaction+" is "+state, func(ctx context.Context) (bool, string, error) {
			last, err := m.call(ctx, s.as("auditor"), "BundleService/Show", &sagov1.ShowRequest{Transaction: transaction, Part: 1})
			if err != nil {
				return false, err.Error(), nil
			}
			b := last.(*sagov1.ShowResponse).GetBundle()
			return b.GetState() == state, b.GetState(), nil
		}); err != nil {
			m.t.Error(err)
		}
	}
}

// late waits for the deadline of what is held.
func (m *matrix) late(ctx context.Context, s *matrixState) { m.reach(ctx, s, "held") }

func (m *matrix) gone(ctx context.Context, s *matrixState) { m.reach(ctx, s, "erased") }

// deleted has two persons sign every request.
func (m *matrix) deleted(ctx context.Context, s *matrixState) {
	for _, transaction := range m.numbers(s) {
		a := m.acts[transaction]
		for _, role := range []string{"manager", "approver1"} {
			done[*sagov1.ActServiceSignResponse](m, ctx, role, "ActService/Sign", &sagov1.ActServiceSignRequest{Id: a.GetId(), Signature: m.sign(role, a.GetDocument())})
		}
	}
	m.reach(ctx, s, "special_deleted")
}

func (m *matrix) suspend(ctx context.Context, _ *matrixState) {
	m.sago(ctx, 0, 0, "manager2", "institution", "suspend", "--until", m.Now().AddDate(0, 1, 0).Format(time.DateOnly), "--reason", "시험")
}

// close closes the second institution, which the last row of the state before has
// resumed.
func (m *matrix) close(ctx context.Context, s *matrixState) {
	dir := m.t.TempDir()
	receipt := filepath.Join(dir, "receipt")
	must(m.t, os.WriteFile(receipt, []byte("received"), 0o600))
	for _, transaction := range append(m.numbers(&m.states[firstOfSecond]), m.numbers(s)...) {
		m.verified(ctx, "auditor2", transaction)
	}
	m.sago(ctx, 0, 0, "auditor2", "history", "export", "--institution", second, "-o", filepath.Join(dir, "export"))
	act := m.sago(ctx, 0, 0, "manager2", "institution", "close", "--institution", second, "--receipt", receipt, "--date",
		m.Now().AddDate(0, 2, 0).Format(time.DateOnly), "--reason", "시험")
	m.sago(ctx, 0, 0, "approver4", "act", "sign", "--id", act["id"].(string))
	m.reach(ctx, s, "erased")
}

// nothingIsGone reads what must stay, or has its node verify what nobody may read.
func (m *matrix) nothingIsGone(ctx context.Context) {
	for i := range m.states {
		s := &m.states[i]
		if !s.stays {
			continue
		}
		for _, transaction := range m.numbers(s) {
			m.verified(ctx, "auditor", transaction)
		}
	}
	officer := m.client(ctx, 0, "officer")
	for transaction, hold := range map[string]string{"LOCKED": "", "HELD": "", "LATE": matrixHold, "ONCE": "", "ANY": ""} {
		_, documents, err := officer.GetBytes(ctx, &sagov1.GetRequest{Transaction: transaction, Part: 1, Who: matrixWho(), Hold: hold})
		if err != nil || len(documents) != 1 || string(documents[0]) != string(contentOf(transaction)) {
			m.t.Errorf("%s afterwards: %d documents, %v", transaction, len(documents), err)
		}
	}
}

// verified has the node hold a bundle's bytes against the fingerprint of its receipt.
func (m *matrix) verified(ctx context.Context, role, transaction string) {
	v := done[*sagov1.VerifyResponse](m, ctx, role, "BundleService/Verify", &sagov1.VerifyRequest{Transaction: transaction, Part: 1})
	if !v.GetIntact() || v.GetFingerprint() != m.receipts[transaction].GetFingerprint() {
		m.t.Errorf("%s afterwards: %v", transaction, v)
	}
}
