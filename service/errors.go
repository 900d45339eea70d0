package service

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// errorDomain is the domain of every ErrorInfo.
const errorDomain = "sago"

// The reasons that are no reasons of the history.
const (
	reasonUnavailable = "UNAVAILABLE"
	reasonStorageFull = "STORAGE_FULL"
	reasonDamage      = "DAMAGE"
	reasonInternal    = "INTERNAL"
	reasonTimeout     = "TIMEOUT"
	reasonCanceled    = "CANCELED"
)

// problem is a refusal or a failure on its way to the caller.
type problem struct {
	reason string
	code   codes.Code
	why    string // English, more than the reason's own sentence; no personal data
	err    error  // the cause, for the log
}

// Error is the reason and why.
func (p *problem) Error() string {
	if p.err != nil {
		return p.reason + ": " + p.err.Error()
	}
	return p.reason + ": " + p.why
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.err }

// logged is what the log may say: the cause of a failure of ours.
func (p *problem) logged() string {
	if p.err != nil {
		return p.err.Error()
	}
	return p.why
}

// codeOf gives every reason of the history its gRPC code, as a refusal by
// the state. Malformed input is answered by invalid instead.
func codeOf(r format.Reason) codes.Code {
	switch r {
	case format.ReasonNotFound, format.ReasonExpired, format.ReasonSpecialDeleted:
		return codes.NotFound
	case format.ReasonConflict:
		return codes.AlreadyExists
	case format.ReasonNotPermitted, format.ReasonSigner:
		return codes.PermissionDenied
	case format.ReasonUnknownPrincipal:
		return codes.Unauthenticated
	case format.ReasonInvalid, format.ReasonTooLarge, format.ReasonPurpose:
		return codes.InvalidArgument
	case format.ReasonStale, format.ReasonSlot, format.ReasonNotReady, format.ReasonRate:
		return codes.Unavailable
	default:
		return codes.FailedPrecondition
	}
}

// refusal is a "no" with its reason; why holds no personal data.
func refusal(r format.Reason, why string) error {
	return &problem{reason: r.String(), code: codeOf(r), why: why}
}

// invalid is a refusal of what is malformed, whatever the state.
func invalid(r format.Reason, format string, args ...any) error {
	return &problem{reason: r.String(), code: codes.InvalidArgument, why: fmt.Sprintf(format, args...)}
}

func unknownPrincipal(why string) error { return refusal(format.ReasonUnknownPrincipal, why) }

func notPermitted(err error) error {
	var d *access.Denied
	if errors.As(err, &d) {
		return refusal(format.ReasonNotPermitted, d.Why)
	}
	return refusal(format.ReasonNotPermitted, "")
}

// refusedBy is the refusal that Apply answered.
func refusedBy(r store.Result) error { return refusal(r.Reason, r.Why) }

// reasonOf is the history's reason of a refusal, or ReasonOK for anything else.
func reasonOf(err error) format.Reason {
	var p *problem
	if !errors.As(err, &p) {
		return format.ReasonOK
	}
	for r := format.ReasonNotFound; r <= format.ReasonRestored; r++ {
		if r.String() == p.reason {
			return r
		}
	}
	return format.ReasonOK
}

// damaged is what cannot be read as it was written.
func damaged(err error) error {
	return &problem{reason: reasonDamage, code: codes.DataLoss, why: placeOf(err), err: err}
}

func placeOf(err error) string {
	var d *format.DamageError
	if errors.As(err, &d) {
		return fmt.Sprintf("%s in %s", d.What, d.File)
	}
	return ""
}

// problemOf finds the one problem behind an error.
func problemOf(err error) *problem {
	var p *problem
	var d *format.DamageError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, store.ErrPruned):
		// Told as a record that does not exist, or is another institution's: whose it
		// was is not known any more, and what of another's is kept is not told.
		return &problem{reason: format.ReasonNotFound.String(), code: codes.NotFound, err: err}
	case errors.Is(err, store.ErrNoKeys):
		return &problem{reason: format.ReasonNotReady.String(), code: codes.Unavailable, why: "the institution has no keys yet", err: err}
	case errors.As(err, &d):
		return &problem{reason: reasonDamage, code: codes.DataLoss, why: placeOf(err), err: err}
	case errors.Is(err, replication.ErrStorageFull):
		return &problem{reason: reasonStorageFull, code: codes.Unavailable, err: err}
	case errors.Is(err, replication.ErrUnavailable), errors.Is(err, store.ErrKeyMissing), errors.Is(err, store.ErrHalted):
		return &problem{reason: reasonUnavailable, code: codes.Unavailable, err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{reason: reasonTimeout, code: codes.DeadlineExceeded, err: err}
	case errors.Is(err, context.Canceled):
		return &problem{reason: reasonCanceled, code: codes.Canceled, err: err}
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown { // a broken stream, as gRPC itself says it
		return &problem{reason: transportReason(s.Code()), code: s.Code(), err: err}
	}
	return &problem{reason: reasonInternal, code: codes.Internal, err: err}
}

func transportReason(c codes.Code) string {
	switch c {
	case codes.Canceled:
		return reasonCanceled
	case codes.DeadlineExceeded:
		return reasonTimeout
	case codes.Unavailable:
		return reasonUnavailable
	case codes.ResourceExhausted:
		return format.ReasonTooLarge.String()
	default:
		return reasonInternal
	}
}

// status is the answer: code, sentence, reason and the sentence in both
// languages.
func (p *problem) status(lang string) *status.Status {
	message := p.sentence(lang)
	st, err := status.New(p.code, message).WithDetails(
		&errdetails.ErrorInfo{Reason: p.reason, Domain: errorDomain},
		&errdetails.LocalizedMessage{Locale: "ko", Message: p.sentence("ko")},
		&errdetails.LocalizedMessage{Locale: "en", Message: p.sentence("en")},
	)
	if err != nil { // only for code OK, which no problem has
		return status.New(p.code, message)
	}
	return st
}

func (p *problem) sentence(lang string) string {
	text := sentences(p.reason, lang)
	if p.why == "" || p.why == text {
		return text
	}
	return text + " (" + p.why + ")"
}

// language is the caller's choice of the status message: "ko" or "en".
func language(ctx context.Context) string {
	if v := metadata.ValueFromIncomingContext(ctx, "sago-lang"); len(v) > 0 && v[0] == "ko" {
		return "ko"
	}
	return "en"
}
