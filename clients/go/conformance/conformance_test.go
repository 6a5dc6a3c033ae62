// Package conformance runs the golden calls of tests/conformance through the Go client.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/llmrouter/llmrouter/clients/go/llmrouter"
	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

func TestConformance(t *testing.T) {
	server := connected(t)
	for _, name := range server.cases(t) {
		t.Run(name, func(t *testing.T) {
			running := server.begin(t, name)
			for next := running.Call; next != nil; {
				reply := reported(t, server, running, next)
				if next = reply.Call; next == nil && len(reply.Problems) > 0 {
					t.Error(strings.Join(reply.Problems, "\n"))
				}
			}
		})
	}
}

// reported makes the call through the client and reports what came of it, while the client is still open and the
// context lives: what ends a call must be the client's doing, not the end of the test.
func reported(t *testing.T, server *control, running begun, next *call) judged {
	client, err := llmrouter.New(running.Target, llmrouter.WithAPIKey(next.APIKey), llmrouter.WithTimeout(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if next.TimeoutMs > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, next.timeout())
		defer end()
	}
	if next.RequestID != "" {
		ctx = llmrouter.WithRequestID(ctx, next.RequestID)
	}
	if next.Traceparent != "" {
		ctx = llmrouter.WithTraceparent(ctx, next.Traceparent)
	}
	told := &outcome{}
	switch next.Method {
	case "Complete":
		err = complete(ctx, t, client, next, told, func() {
			server.wait(t, running.Session, next.During.UpstreamTokens)
			act(t, server, running, next, cancel)
		})
	case "StreamComplete":
		err = stream(ctx, t, client, next, told, func() { act(t, server, running, next, func() {}) })
	case "Route":
		var response *llmrouterv1.RouteResponse
		response, err = client.Route(ctx, parsed(t, next.Request, &llmrouter.Request{}))
		told.Response = printed(t, response)
	case "GetReceipt":
		var receipt *llmrouterv1.Receipt
		receipt, err = client.Receipt(ctx, parsed(t, next.Request, &llmrouterv1.GetReceiptRequest{}).GetRequestId())
		told.Response = printed(t, &llmrouterv1.GetReceiptResponse{Receipt: receipt})
	case "ListModels":
		var deployments []*llmrouterv1.Deployment
		deployments, err = client.Models(ctx)
		told.Response = printed(t, &llmrouterv1.ListModelsResponse{Deployments: deployments})
	default:
		t.Fatalf("no client method for %s", next.Method)
	}
	if err != nil {
		failed(t, told, next, err)
	}
	return server.report(t, running.Session, told)
}

func complete(ctx context.Context, t *testing.T, client *llmrouter.Client, next *call, told *outcome, meanwhile func()) error {
	request := parsed(t, next.Request, &llmrouter.Request{})
	type result struct {
		answer *llmrouter.Answer
		err    error
	}
	answered := make(chan result, 1)
	go func() {
		answer, err := client.Complete(ctx, request)
		answered <- result{answer, err}
	}()
	if next.During != nil {
		meanwhile()
	}
	given := <-answered
	if given.err != nil {
		return given.err
	}
	told.RequestID = given.answer.Receipt.GetRequestId()
	told.Answer = map[string]any{
		"text":         given.answer.Text(),
		"finishReason": strings.ToLower(strings.TrimPrefix(given.answer.FinishReason.String(), "FINISH_REASON_")),
		"message":      printed(t, given.answer.Message),
		"receipt":      printed(t, given.answer.Receipt),
	}
	return nil
}

func stream(ctx context.Context, t *testing.T, client *llmrouter.Client, next *call, told *outcome, meanwhile func()) error {
	told.Events = []json.RawMessage{}
	stream := client.Stream(ctx, parsed(t, next.Request, &llmrouter.Request{}))
	told.RequestID = stream.RequestID()
	for event, err := range stream.Events() {
		if err != nil {
			return err
		}
		told.Events = append(told.Events, printed(t, event))
		if next.During == nil || len(told.Events) != next.During.Events {
			continue
		}
		if next.During.Do == "cancel" {
			told.Cancelled = true
			break // which is how a caller leaves
		}
		meanwhile()
	}
	return nil
}

func act(t *testing.T, server *control, running begun, next *call, cancel func()) {
	switch next.During.Do {
	case "cancel":
		cancel()
	case "drain":
		server.drain(t, running.Session)
	default:
		t.Fatalf("nothing to do for %s", next.During.Do)
	}
}

func failed(t *testing.T, told *outcome, next *call, err error) {
	var refused *llmrouter.Error
	if !errors.As(err, &refused) {
		t.Fatalf("not an *llmrouter.Error: %v", err)
	}
	told.RequestID = refused.RequestID
	if next.During != nil && next.During.Do == "cancel" && errors.Is(err, context.Canceled) {
		told.Cancelled = true
		return
	}
	told.Error = map[string]any{
		"code":      codeName(refused.Code),
		"reason":    refused.Reason,
		"message":   refused.Message,
		"metadata":  refused.Metadata,
		"requestId": refused.RequestID,
	}
	if refused.RetryAfter > 0 {
		told.Error["retryAfterMs"] = refused.RetryAfter.Milliseconds()
	}
	violations := []map[string]string{}
	for _, bad := range refused.Violations {
		violations = append(violations, map[string]string{"field": bad.Field, "description": bad.Description})
	}
	told.Error["violations"] = violations
	if refused.ReceiptSummary != nil {
		told.Error["receiptSummary"] = printed(t, refused.ReceiptSummary)
	}
	told.Response = nil
}

// codeName is the status as gRPC's specification spells it: Go's names are its own.
func codeName(c codes.Code) string {
	return code.Code_name[int32(c)]
}

func parsed[M proto.Message](t *testing.T, text json.RawMessage, message M) M {
	t.Helper()
	if err := protojson.Unmarshal(text, message); err != nil {
		t.Fatal(err)
	}
	return message
}

func printed(t *testing.T, message proto.Message) json.RawMessage {
	t.Helper()
	text, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
