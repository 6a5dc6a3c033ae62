package llmrouter_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/llmrouter/llmrouter/clients/go/llmrouter"
	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

// patience is how long what happens by itself may take on a busy machine.
const patience = 20 * time.Second

func TestReplicasThatDoNotServeGetNoCalls(t *testing.T) {
	replicas := []*replica{startReplica(t), startReplica(t)}
	router := client(t, replicas)
	served := func() string {
		answer, err := router.Complete(t.Context(), llmrouter.Ask("Hello"))
		if err != nil {
			t.Fatal(err)
		}
		return answer.Receipt.GetDeployment()
	}
	// Clients hear of health when they hear of it: until then calls are served by either.
	until := func(what string, wanted int) {
		for end := time.Now().Add(patience); ; {
			seen := map[string]bool{}
			for range 20 {
				seen[served()] = true
			}
			if len(seen) == wanted && !(wanted == 1 && seen[replicas[0].address]) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: calls are still served by %v", what, seen)
			}
		}
	}
	until("both serve", 2)
	replicas[0].serves(false)
	until("one is not serving", 1)
	replicas[0].serves(true)
	until("both serve again", 2)
}

func TestNoReplicaThatServesIsUnavailableAtOnce(t *testing.T) {
	only := startReplica(t)
	only.serves(false)
	_, err := client(t, []*replica{only}).Complete(t.Context(), llmrouter.Ask("Hello"))
	if status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v", err)
	}
}

func TestCallsCarryWhatTheyShould(t *testing.T) {
	server := startReplica(t)
	router := client(t, []*replica{server}, llmrouter.WithAPIKey("rk_one"), llmrouter.WithPlaintextKey(),
		llmrouter.WithTimeout(7*time.Second),
		llmrouter.WithTraceContext(func(context.Context) map[string]string {
			return map[string]string{"traceparent": "00-current-span", "tracestate": "vendor=1"}
		}))
	request := llmrouter.Ask("Hello")
	untouched := proto.Clone(request)
	ctx := llmrouter.WithTraceparent(llmrouter.WithRequestID(t.Context(), "order-1"), "00-given")
	soon, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for _, ctx := range []context.Context{t.Context(), ctx, soon} {
		if _, err := router.Complete(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	if !proto.Equal(request, untouched) {
		t.Errorf("the caller's request was changed to %v", request)
	}
	if first, second := server.requests[0].GetIdempotencyKey(), server.requests[1].GetIdempotencyKey(); first == "" || first == second {
		t.Errorf("idempotency keys %q and %q", first, second)
	}
	for number, wanted := range []map[string]string{
		{"authorization": "Bearer rk_one", "traceparent": "00-current-span", "tracestate": "vendor=1"},
		{"authorization": "Bearer rk_one", "traceparent": "00-given", "tracestate": "", "x-request-id": "order-1"},
	} {
		for name, value := range wanted {
			if got := strings.Join(server.headers[number].Get(name), ","); got != value {
				t.Errorf("call %d: %s is %q, not %q", number, name, got, value)
			}
		}
	}
	if made := server.headers[0].Get("x-request-id"); len(made) != 1 || made[0] == "" {
		t.Errorf("request id %q", made)
	}
	if by := server.timeouts[0]; by > 7*time.Second || by < 3*time.Second {
		t.Errorf("the client's timeout of 7 s arrived as %s", by)
	}
	if by := server.timeouts[2]; by > 3*time.Second {
		t.Errorf("the context's deadline in 3 s arrived as %s", by)
	}
}

func TestTheSameFieldsServeAllThreeWays(t *testing.T) {
	server := startReplica(t)
	router := client(t, []*replica{server})
	request := llmrouter.Ask("Hello")
	request.IdempotencyKey = "mine"
	for _, err := range router.Stream(t.Context(), request).Events() {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if got := server.requests[0].GetIdempotencyKey(); got != "mine" {
		t.Errorf("the stream's idempotency key is %q", got)
	}
	whole := (&llmrouterv1.CompleteRequest{}).ProtoReflect().Descriptor().Fields()
	streamed := (&llmrouterv1.StreamCompleteRequest{}).ProtoReflect().Descriptor().Fields()
	for position := range whole.Len() {
		if name := whole.Get(position).Name(); streamed.ByName(name) == nil {
			t.Errorf("StreamCompleteRequest has no %s: Stream would lose it", name)
		}
	}
}

func TestLeavingAStreamEndsTheCall(t *testing.T) {
	server := startReplica(t)
	stream := client(t, []*replica{server}).Stream(t.Context(), llmrouter.Ask("Hello"))
	for text, err := range stream.Text() {
		if err != nil || text != "Hello" {
			t.Fatalf("got %q, %v", text, err)
		}
		break
	}
	select {
	case <-server.ended:
	case <-time.After(patience):
		t.Fatal("the call goes on")
	}
	for _, err := range stream.Events() {
		if err == nil {
			t.Fatal("a stream was read twice")
		}
	}
}

func TestAStreamThatOutlastsItsDeadlineSaysSo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	stream := client(t, []*replica{startReplica(t)}).Stream(ctx, llmrouter.Ask("Hello"))
	var last error
	events := 0
	for event, err := range stream.Events() {
		if last = err; event != nil {
			events++
		}
	}
	if !errors.Is(last, context.DeadlineExceeded) || stream.Answer() != nil {
		t.Fatalf("got %v", last)
	}
	if events != 2 { // the one that is newer than this client is passed over
		t.Errorf("%d events", events)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	server := startReplica(t)
	refusal, err := status.New(codes.ResourceExhausted, "Too many calls.").WithDetails(
		&errdetails.ErrorInfo{Domain: "llmrouter", Reason: "RATE_LIMITED", Metadata: map[string]string{"limit": "free-rpm"}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "chat", Description: "missing"}}},
		&llmrouterv1.ReceiptSummary{AttemptCount: 2},
	)
	if err != nil {
		t.Fatal(err)
	}
	server.fail = refusal.Err()
	router := client(t, []*replica{server})
	ctx := llmrouter.WithRequestID(t.Context(), "order-1")
	_, whole := router.Complete(ctx, llmrouter.Ask("Hello"))
	var streamed error
	for _, err := range router.Stream(ctx, llmrouter.Ask("Hello")).Events() {
		streamed = err
	}
	for way, err := range map[string]error{"Complete": whole, "Stream": streamed} {
		var told *llmrouter.Error
		if !errors.As(err, &told) {
			t.Fatalf("%s: %v", way, err)
		}
		if told.Code != codes.ResourceExhausted || told.Reason != "RATE_LIMITED" || told.Metadata["limit"] != "free-rpm" ||
			told.RetryAfter != 1500*time.Millisecond || told.Violations[0].Field != "chat" ||
			told.ReceiptSummary.GetAttemptCount() != 2 || told.RequestID != "order-1" {
			t.Errorf("%s: %+v", way, told)
		}
		if status.Code(err) != codes.ResourceExhausted || err.Error() != "RATE_LIMITED: Too many calls. (request order-1)" {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestAKeyDoesNotTravelInPlaintext(t *testing.T) {
	for _, target := range []string{"router.example.com:443", "dns:///10.0.0.7:50051", "localhost.example.com:1", "xds:///localhost:1"} {
		if _, err := llmrouter.New(target, llmrouter.WithAPIKey("rk_secret")); err == nil || strings.Contains(err.Error(), "rk_secret") {
			t.Errorf("%s: %v", target, err)
		}
		for _, allowed := range []llmrouter.Option{llmrouter.WithPlaintextKey(), llmrouter.WithTLS(&tls.Config{})} {
			made, err := llmrouter.New(target, llmrouter.WithAPIKey("rk_secret"), allowed)
			if err != nil && !strings.HasPrefix(target, "xds:") { // nobody linked xds
				t.Errorf("%s: %v", target, err)
			} else if made != nil {
				made.Close()
			}
		}
	}
	for _, target := range []string{"localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1", "unix:/run/llmrouter.sock"} {
		made, err := llmrouter.New(target, llmrouter.WithAPIKey("rk_secret"))
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		made.Close()
	}
}

func TestTheKeyOfTheEnvironmentCountsUnlessOneIsGiven(t *testing.T) {
	t.Setenv("LLMROUTER_API_KEY", "rk_environment")
	if _, err := llmrouter.New("router.example.com:443"); err == nil {
		t.Error("the environment's key would travel in plaintext")
	}
	made, err := llmrouter.New("router.example.com:443", llmrouter.WithAPIKey(""))
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
}

func TestMistakesAreToldBeforeACall(t *testing.T) {
	if _, err := llmrouter.New("localhost:1", llmrouter.WithTimeout(0)); err == nil {
		t.Error("a timeout of 0 was taken")
	}
	if _, err := llmrouter.New("localhost:1", llmrouter.WithAPIKey("rk_\n")); err == nil || strings.Contains(err.Error(), "rk_") {
		t.Errorf("a key with a line break: %v", err)
	}
	router := client(t, []*replica{startReplica(t)})
	if _, err := router.Complete(llmrouter.WithRequestID(t.Context(), "zwölf"), llmrouter.Ask("Hello")); err == nil {
		t.Error("a request id beyond ASCII was taken")
	}
}
