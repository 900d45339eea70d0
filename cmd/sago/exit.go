package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/service/client"
)

// The exit codes, a promise to scripts (docs/cli.md).
const (
	exitFailed       = 1
	exitInput        = 2
	exitRefused      = 3
	exitNotPermitted = 4
	exitNotFound     = 5
	exitUnavailable  = 6
	exitIntegrity    = 7
)

// inputError is a wrong command line, found before any call.
type inputError struct{ reason, detail string }

func (e *inputError) Error() string { return e.detail }

// waitError is something that is not there yet and will be.
type waitError struct{ reason, detail string }

func (e *waitError) Error() string { return e.detail }

// reasonExits are the reasons whose exit code is not their gRPC code's.
var reasonExits = map[string]int{
	"EXPIRED":   exitNotFound,
	"TOO_LARGE": exitInput,
}

func exitCode(err error) int {
	var input *inputError
	var wait *waitError
	var e *client.Error
	var failure *audit.Failure
	switch {
	case errors.As(err, &failure):
		return resultExit(failure)
	case errors.As(err, &input), errors.Is(err, client.ErrContext):
		return exitInput
	case errors.As(err, &wait):
		return exitUnavailable
	case errors.Is(err, client.ErrIntegrity), errors.Is(err, client.ErrUntrusted):
		return exitIntegrity
	case errors.As(err, &e):
		if code, ok := reasonExits[e.Reason]; ok {
			return code
		}
		return codeExit(e.Code)
	default:
		return exitFailed
	}
}

func codeExit(c codes.Code) int {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return exitInput
	case codes.FailedPrecondition, codes.AlreadyExists:
		return exitRefused
	case codes.PermissionDenied, codes.Unauthenticated:
		return exitNotPermitted
	case codes.NotFound:
		return exitNotFound
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return exitUnavailable
	case codes.DataLoss:
		return exitIntegrity
	default:
		return exitFailed
	}
}

// errorLine is "error: REASON_CODE: what, why, what to do: the server's own
// sentence", on one line.
func errorLine(err error, lang language) string {
	reason, detail := explain(err, lang)
	line := "error: " + reason
	m, ok := messages[reason]
	var failure *audit.Failure
	if errors.As(err, &failure) {
		m, ok = resultMessage(failure), true
	}
	if ok {
		line += ": " + lang.pick(m.ko, m.en)
	}
	if detail != "" {
		line += ": " + detail
	}
	return oneLine(line)
}

func explain(err error, lang language) (reason, detail string) {
	var input *inputError
	var wait *waitError
	var e *client.Error
	var failure *audit.Failure
	switch {
	case errors.As(err, &failure):
		return string(failure.Reason), failure.Error()
	case errors.As(err, &input):
		return input.reason, input.detail
	case errors.As(err, &wait):
		return wait.reason, wait.detail
	case errors.As(err, &e):
		if own := e.Localized[string(lang)]; own != "" {
			return e.Reason, own
		}
		return e.Reason, e.Message
	case client.ReasonOf(err) == "INTERNAL":
		return "FAILED", err.Error()
	default:
		// What the reason's sentence says already is not said twice.
		return client.ReasonOf(err), strings.TrimPrefix(err.Error(), client.ErrIntegrity.Error()+": ")
	}
}

// oneLine keeps what a server says from ending the line or steering the terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(strings.Join(strings.Fields(s), " "))
}

// damaged is an answer that says what is broken, as an error.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", client.ErrIntegrity, fmt.Sprintf(format, args...))
}
