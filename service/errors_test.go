package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// TestReasonsHaveCodesAndSentences: every reason that a record can carry has a
// sentence in both languages, and the gRPC code that scripts rely on.
func TestReasonsHaveCodesAndSentences(t *testing.T) {
	want := map[codes.Code]string{
		codes.NotFound: "NOT_FOUND EXPIRED", codes.AlreadyExists: "CONFLICT", codes.PermissionDenied: "NOT_PERMITTED",
		codes.Unauthenticated: "UNKNOWN_PRINCIPAL", codes.InvalidArgument: "INVALID PURPOSE_REQUIRED TOO_LARGE",
		codes.Unavailable:        "STALE_OPERATION KEY_SLOT NOT_READY RATE_LIMITED",
		codes.FailedPrecondition: "RETENTION_RULE RETENTION_BASIS DEFINITION ONE_TIME_USED STATE CLOCK MEMBER SIGNATURE HELD NEEDS_ACT POLICY",
	}
	internalKo, internalEn := bothSentences(reasonInternal)
	for r := format.ReasonNotFound; r <= format.ReasonPolicy; r++ {
		err := refusal(r, "")
		p := problemOf(err)
		if !strings.Contains(" "+want[p.code]+" ", " "+r.String()+" ") {
			t.Errorf("%s is answered %s", r, p.code)
		}
		if ko, en := bothSentences(r.String()); ko == internalKo || en == internalEn || ko == en {
			t.Errorf("%s has no sentences: %q, %q", r, ko, en)
		}
		expect(t, p.status("en").Err(), p.code, r.String())
		if reasonOf(err) != r {
			t.Errorf("%s is read back as %s", r, reasonOf(err))
		}
	}
}

func TestFailuresHaveReasons(t *testing.T) {
	damage := &format.DamageError{File: "segments/1", Offset: 8, What: "chunk"}
	for _, c := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{replication.ErrUnavailable, codes.Unavailable, "UNAVAILABLE"},
		{fmt.Errorf("%w: %w", replication.ErrUnavailable, context.DeadlineExceeded), codes.Unavailable, "UNAVAILABLE"},
		{replication.ErrStorageFull, codes.Unavailable, "STORAGE_FULL"},
		{store.ErrHalted, codes.Unavailable, "UNAVAILABLE"},
		{store.ErrKeyMissing, codes.Unavailable, "KEY_MISSING"},
		{store.ErrNoKeys, codes.Unavailable, "NOT_READY"},
		{fmt.Errorf("read: %w", damage), codes.DataLoss, "DAMAGE"},
		{damaged(io.ErrUnexpectedEOF), codes.DataLoss, "DAMAGE"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "TIMEOUT"},
		{context.Canceled, codes.Canceled, "CANCELED"},
		{status.Error(codes.Canceled, "stream"), codes.Canceled, "CANCELED"},
		{notPermitted(&access.Denied{Why: "because"}), codes.PermissionDenied, "NOT_PERMITTED"},
		{errors.New("홍길동"), codes.Internal, "INTERNAL"},
	} {
		st := problemOf(c.err).status("ko")
		expect(t, st.Err(), c.code, c.reason)
		if strings.Contains(st.Message(), "홍길동") {
			t.Errorf("an internal cause is told: %q", st.Message())
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 5, "abc"}, {"abc", 2, "ab"}, {"가나", 5, "가"}, {"\xff", 3, "?"}, {"", 0, ""}} {
		if got := clip(c.in, c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q", c.in, c.n, got)
		}
	}
}

// TestAnErasedRecordIsAnsweredAsNone: or a stranger could tell which records of
// other institutions are kept for bundles that live.
func TestAnErasedRecordIsAnsweredAsNone(t *testing.T) {
	for _, language := range []string{"ko", "en"} {
		none, erased := problemOf(refusal(format.ReasonNotFound, "")).status(language), problemOf(fmt.Errorf("%w: record 7", store.ErrPruned)).status(language)
		if !proto.Equal(none.Proto(), erased.Proto()) {
			t.Errorf("%v and %v", none, erased)
		}
	}
}
