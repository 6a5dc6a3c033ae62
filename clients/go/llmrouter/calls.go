package llmrouter

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

type contextKey int

const (
	requestIDKey contextKey = iota
	traceparentKey
)

// WithRequestID calls under this request id, which finds the receipt. Without it each call gets one of its own.
func WithRequestID(ctx context.Context, requestID string) context.Context {
	return context.WithValue(ctx, requestIDKey, requestID)
}

// WithTraceparent calls under this W3C trace context, in place of what WithTraceContext finds.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceparentKey, traceparent)
}

func identified(ctx context.Context) (context.Context, string) {
	if given, _ := ctx.Value(requestIDKey).(string); given != "" {
		return ctx, given
	}
	made := newID()
	return WithRequestID(ctx, made), made
}

func newID() string {
	var random [16]byte
	rand.Read(random[:]) // never fails, as crypto/rand says
	return hex.EncodeToString(random[:])
}

func (s *settings) unary(
	ctx context.Context, method string, request, response any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	ctx, cancel, requestID, err := s.outgoing(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return errorOf(invoke(ctx, method, request, response, conn, options...), requestID)
}

func (s *settings) stream(
	ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, cancel, requestID, err := s.outgoing(ctx)
	if err != nil {
		return nil, err
	}
	opened, err := open(ctx, description, conn, method, options...)
	if err != nil {
		cancel()
		return nil, errorOf(err, requestID)
	}
	return &clientStream{opened, cancel, requestID}, nil
}

// outgoing is the context that a call leaves with: its deadline, key, request id and trace context.
func (s *settings) outgoing(ctx context.Context) (context.Context, context.CancelFunc, string, error) {
	ctx, requestID := identified(ctx)
	headers := map[string]string{}
	if s.traceContext != nil {
		headers = s.traceContext(ctx)
	}
	pairs := []string{"x-request-id", requestID}
	if given, _ := ctx.Value(traceparentKey).(string); given != "" {
		headers = map[string]string{"traceparent": given}
	}
	for name, value := range headers {
		pairs = append(pairs, name, value)
	}
	if s.apiKey != "" {
		pairs = append(pairs, "authorization", "Bearer "+s.apiKey)
	}
	for position := 0; position < len(pairs); position += 2 {
		if err := metadataText("the value of "+pairs[position], pairs[position+1]); err != nil {
			return nil, nil, "", err
		}
	}
	ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
	if _, has := ctx.Deadline(); has {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, requestID, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	return ctx, cancel, requestID, nil
}

// clientStream tells its failures as *Error, and lets go of its context at the end.
type clientStream struct {
	grpc.ClientStream
	cancel    context.CancelFunc
	requestID string
}

func (c *clientStream) RecvMsg(message any) error {
	err := c.ClientStream.RecvMsg(message)
	if err != nil {
		c.cancel()
	}
	return errorOf(err, c.requestID)
}

func (c *clientStream) SendMsg(message any) error {
	return errorOf(c.ClientStream.SendMsg(message), c.requestID)
}
