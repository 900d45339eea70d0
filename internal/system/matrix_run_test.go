package system_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// matrix asks every call, of bundles in every state, as every role.
type matrix struct {
	*site
	methods map[string]protoreflect.MethodDescriptor // by "Service/Method"
	callers map[string]caller                        // by role
	rows    []matrixRow
	states  []matrixState

	mu       sync.Mutex
	receipts map[string]*sagov1.Receipt // by transaction
	acts     map[string]*sagov1.Act     // the special deletion asked for, by transaction
}

// caller is a role's connection and key.
type caller struct {
	conn *grpc.ClientConn
	key  crypto.Signer
}

// TestP17_P18_P23_DeleteMatrix holds the answer to every call of the API, for a
// bundle in every state and by every role, against testdata/matrix.txt, which is
// for people to judge; and that all of it together destroyed nothing that must stay.
func TestP17_P18_P23_DeleteMatrix(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 110*time.Second)
	policy := testcluster.Policy{CheckpointEvery: time.Second, CoolingOff: 2 * time.Second}
	m := newMatrix(t, startSite(t, ctx, testcluster.Options{Nodes: 1, Policy: policy}))
	m.register(ctx)
	m.meet(slices.Concat(roles(), secondRoles()))
	m.everyMethodHasARow()
	got := make([]string, len(m.states))
	var asking sync.WaitGroup
	for i := range m.states {
		m.prepare(ctx, &m.states[i])
	}
	for i := range m.states[:firstOfSecond] {
		asking.Go(func() { got[i] = m.cells(ctx, &m.states[i]) })
	}
	asking.Go(func() {
		for i := firstOfSecond; i < len(m.states); i++ {
			got[i] = m.cells(ctx, &m.states[i])
		}
	})
	asking.Wait()
	m.nothingIsGone(ctx)
	m.intact(ctx)
	compareGolden(t, filepath.Join("testdata", "matrix.txt"), "Who is not named gets: "+theRest+".\n\n"+strings.Join(got, "\n"))
}

func newMatrix(t *testing.T, s *site) *matrix {
	m := &matrix{site: s, methods: map[string]protoreflect.MethodDescriptor{}, callers: map[string]caller{},
		rows: slices.Concat(bundleRows(), actRows(), historyRows(), applianceRows()), states: matrixStates(),
		receipts: map[string]*sagov1.Receipt{}, acts: map[string]*sagov1.Act{}}
	protoregistry.GlobalFiles.RangeFilesByPackage("sago.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				m.methods[string(service.Name()+"/"+service.Methods().Get(j).Name())] = service.Methods().Get(j)
			}
		}
		return true
	})
	return m
}

// everyMethodHasARow fails on a call that somebody added without saying what it
// answers.
func (m *matrix) everyMethodHasARow() {
	m.t.Helper()
	asked := map[string]bool{}
	for _, r := range m.rows {
		asked[r.method()] = true
		if m.methods[r.method()] == nil {
			m.t.Errorf("%s is no call", r.name)
		}
	}
	for name := range m.methods {
		if !asked[name] {
			m.t.Errorf("%s has no row in the matrix", name)
		}
	}
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// meet opens a connection for each role.
func (m *matrix) meet(roles []string) {
	m.t.Helper()
	for _, role := range roles {
		c, err := client.LoadContext(m.ContextAt(0, role))
		must(m.t, err)
		// That it is the right server is not what is tested here.
		conn, err := grpc.NewClient(c.Endpoints[0], grpc.WithTransportCredentials(credentials.NewTLS(
			&tls.Config{Certificates: []tls.Certificate{c.Certificate}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})))
		must(m.t, err)
		m.t.Cleanup(func() { _ = conn.Close() })
		m.callers[role] = caller{conn, c.Certificate.PrivateKey.(crypto.Signer)}
	}
}

// call makes a call of any form and answers its last message.
func (m *matrix) call(ctx context.Context, role, method string, requests ...proto.Message) (last proto.Message, err error) {
	md := m.methods[method]
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stream, err := m.callers[role].conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		fmt.Sprintf("/%s/%s", md.Parent().FullName(), md.Name()))
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		if err := stream.SendMsg(r); err != nil {
			break // why, RecvMsg says
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(md.Output().FullName())
	if err != nil {
		return nil, err
	}
	for {
		next := kind.New().Interface()
		if err := stream.RecvMsg(next); errors.Is(err, io.EOF) {
			return last, nil
		} else if err != nil {
			return nil, err
		}
		last = next
	}
}

// ask is call, again for as long as the caller is beyond their rate.
func (m *matrix) ask(ctx context.Context, role, method string, requests ...proto.Message) (last proto.Message, err error) {
	_ = testcluster.Await(ctx, method, func(ctx context.Context) (bool, string, error) {
		last, err = m.call(ctx, role, method, requests...)
		return reasonOf(err) != "RATE", "beyond the rate", nil
	})
	return last, err
}

// done is ask for what must be done.
func done[T proto.Message](m *matrix, ctx context.Context, role, method string, requests ...proto.Message) (answer T) {
	last, err := m.ask(ctx, role, method, requests...)
	if err != nil {
		m.t.Errorf("%s by %s: %v: %v", method, role, err, requests)
		return answer
	}
	return last.(T)
}

func (m *matrix) sign(role string, message []byte) []byte {
	digest := sha256.Sum256(message)
	signature, err := m.callers[role].key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		m.t.Error(err)
	}
	return signature
}

// reasonOf is the REASON_CODE of an answer; none for success.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}

// answerOf is an answer as the table says it: the exit code that docs/cli.md
// promises for it, and its reason.
func answerOf(err error) string {
	exit, known := map[codes.Code]int{
		codes.OK: 0, codes.InvalidArgument: 2, codes.FailedPrecondition: 3, codes.AlreadyExists: 3, codes.PermissionDenied: 4,
		codes.Unauthenticated: 4, codes.NotFound: 5, codes.Unavailable: 6, codes.DeadlineExceeded: 6, codes.DataLoss: 7,
	}[status.Code(err)]
	if !known {
		exit = 1
	}
	return strings.TrimSpace(fmt.Sprint(exit, " ", reasonOf(err)))
}

// theRest is what the table does not name: the answer to every role that a row says
// nothing of.
const theRest = "4 NOT_PERMITTED"

// cells asks all rows of a state and answers its part of the table.
func (m *matrix) cells(ctx context.Context, s *matrixState) string {
	if s.begin != nil {
		s.begin(m, ctx, s)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# %s\n", s.name)
	for _, r := range m.rows {
		if r.of == bundles && s.any || r.of == anything && !s.any && !s.second {
			continue
		}
		who := map[string][]string{}
		var order []string
		for _, role := range s.roles() {
			c := cell{m: m, state: s, role: role, transaction: s.bundleOf(r, role)}
			_, err := m.ask(ctx, role, r.method(), r.ask(c)...)
			answer := answerOf(err)
			if err == nil && len(r.by) > 0 && !r.changedBy(role) {
				m.t.Errorf("%s by %s, %s: it changes something, and has no bundle of its own", r.name, role, s.name)
			}
			if answer == theRest {
				continue
			}
			if who[answer] == nil {
				order = append(order, answer)
			}
			who[answer] = append(who[answer], role)
		}
		var all []string
		for _, answer := range order {
			all = append(all, fmt.Sprintf("%s: %s", answer, strings.Join(who[answer], " ")))
		}
		fmt.Fprintf(&text, "%-44s%s\n", r.name, strings.Join(all, " | "))
	}
	return text.String()
}
