package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What the client itself finds wrong. Errors that are not a *[Error] wrap one
// of them, or are the caller's own (a reader, a writer).
var (
	// ErrIntegrity: what a node answered does not match its fingerprint, its hash
	// or its signatures.
	ErrIntegrity = errors.New("what was answered does not verify")
	// ErrContext: the context file or the material it names cannot be used.
	ErrContext = errors.New("context file")
	// ErrUntrusted: a server could not show a certificate of the cluster.
	ErrUntrusted = errors.New("the server is not one of this cluster")
)

// errorDomain is the domain of the appliance's ErrorInfo details.
const errorDomain = "sago"

// Error is a refusal or failure as the appliance, or the way to it, reports it.
type Error struct {
	// Reason is the REASON_CODE: the appliance's own, or one made from Code when
	// the answer carries none.
	Reason string
	// Message is the server's sentence.
	Message string
	// Localized holds the server's sentence by language tag, as far as it sent it.
	Localized map[string]string
	Code      codes.Code
	// FromAppliance says that the reason is the appliance's own.
	FromAppliance bool
}

// Error is one line: reason, code and the server's sentence.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s): %s", e.Reason, e.Code, e.Message) }

// GRPCStatus lets status.Code and status.FromError read the error.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// The reasons that this package gives when an answer carries none of its own.
var codeReasons = map[codes.Code]string{
	codes.Canceled: "CANCELED", codes.InvalidArgument: "INVALID", codes.DeadlineExceeded: "TIMEOUT",
	codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "CONFLICT", codes.PermissionDenied: "NOT_PERMITTED",
	codes.ResourceExhausted: "EXHAUSTED", codes.FailedPrecondition: "STATE", codes.Aborted: "ABORTED",
	codes.OutOfRange: "INVALID", codes.Unimplemented: "UNIMPLEMENTED", codes.Unavailable: "UNAVAILABLE",
	codes.DataLoss: "DAMAGE", codes.Unauthenticated: "UNAUTHENTICATED",
}

// ReasonOf returns the REASON_CODE of an error of this package: "" for nil, and
// "INTERNAL" for an error that says nothing about itself.
func ReasonOf(err error) string {
	var e *Error
	var rollback *RollbackError
	var fork *ForkError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &rollback):
		return "ROLLBACK"
	case errors.As(err, &fork):
		return "FORK"
	case errors.As(err, &e):
		return e.Reason
	case errors.Is(err, ErrIntegrity):
		return "INTEGRITY"
	case errors.Is(err, ErrUntrusted):
		return "UNTRUSTED_SERVER"
	case errors.Is(err, ErrContext):
		return "CONTEXT"
	case errors.Is(err, ErrMemory):
		return "MEMORY"
	case errors.Is(err, context.DeadlineExceeded):
		return "TIMEOUT"
	case errors.Is(err, context.Canceled):
		return "CANCELED"
	default:
		return "INTERNAL"
	}
}

// fromStatus makes a *Error of what gRPC returned. Errors that are already this
// package's, or a caller's writer's, pass through.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) || errors.Is(err, ErrIntegrity) || errors.Is(err, ErrUntrusted) {
		return err
	}
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			s := status.FromContextError(err)
			return &Error{Reason: codeReasons[s.Code()], Message: s.Message(), Code: s.Code()}
		}
		return err
	}
	s := carrier.GRPCStatus()
	e := &Error{Reason: codeReasons[s.Code()], Message: s.Message(), Code: s.Code(), Localized: map[string]string{}}
	if e.Reason == "" {
		e.Reason = "INTERNAL"
	}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == errorDomain && d.GetReason() != "" {
				e.Reason, e.FromAppliance = d.GetReason(), true
			}
		case *errdetails.LocalizedMessage:
			e.Localized[d.GetLocale()] = d.GetMessage()
		}
	}
	return e
}

func integrity(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrIntegrity, fmt.Sprintf(format, args...))
}
