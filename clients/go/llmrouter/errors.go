package llmrouter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

const errorDomain = "llmrouter"

// Error says why a call failed. Find it with errors.As; status.Code and errors.Is with context.Canceled or
// context.DeadlineExceeded work too.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is a name of the API's ErrorReason without its prefix, such as "ATTEMPTS_EXHAUSTED"; empty where the
	// router was never reached.
	Reason string
	// Message says what happened and what to do.
	Message string
	// Metadata is what the reason is about, such as {"limit": "free-rpm"}.
	Metadata map[string]string
	// RetryAfter is when to come back; 0 where the router gave no hint, and where waiting does not help.
	RetryAfter time.Duration
	// Violations are the fields at fault, of CodeInvalidArgument.
	Violations []Violation
	// ReceiptSummary says what was attempted and spent; nil where nothing was. Client.Receipt has the whole account.
	ReceiptSummary *llmrouterv1.ReceiptSummary
	// RequestID of the call.
	RequestID string

	status *status.Status
}

// Violation is a bad field: its path in the request, such as "chat.messages[2].role", and what is wrong with it.
type Violation struct {
	Field       string
	Description string
}

func (e *Error) Error() string {
	name := e.Reason
	if name == "" {
		name = e.Code.String()
	}
	return fmt.Sprintf("%s: %s (request %s)", name, e.Message, e.RequestID)
}

// GRPCStatus is the status as it came, with its details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Is lets errors.Is compare with the context package's errors.
func (e *Error) Is(target error) bool {
	return target == context.Canceled && e.Code == codes.Canceled ||
		target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded
}

// errorOf is err as an *Error; nil and what is no failure of a call stay what they are.
func errorOf(err error, requestID string) error {
	failed, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return err
	}
	told := &Error{Code: failed.Code(), Message: failed.Message(), RequestID: requestID, status: failed}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				told.Reason, told.Metadata = detail.GetReason(), detail.GetMetadata()
			}
		case *errdetails.RetryInfo:
			told.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, bad := range detail.GetFieldViolations() {
				told.Violations = append(told.Violations, Violation{bad.GetField(), bad.GetDescription()})
			}
		case *llmrouterv1.ReceiptSummary:
			told.ReceiptSummary = detail
		}
	}
	return told
}

// metadataText refuses what cannot travel as gRPC metadata; the value, which may be secret, is not repeated.
func metadataText(what, value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("llmrouter: %s is printable ASCII text without a line break", what)
	}
	return nil
}
