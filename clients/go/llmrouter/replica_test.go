package llmrouter_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/llmrouter/llmrouter/clients/go/llmrouter"
	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

// replica is a gRPC server that remembers what arrived. The router itself is in the conformance tests.
type replica struct {
	llmrouterv1.UnimplementedRouterServiceServer
	address string
	health  *watchable
	ended   chan struct{} // one for each stream that its client left

	mu       sync.Mutex
	requests []*llmrouter.Request
	headers  []metadata.MD
	timeouts []time.Duration
	fail     error
}

func startReplica(t *testing.T) *replica {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := &replica{address: listener.Addr().String(), health: &watchable{changed: make(chan struct{})}, ended: make(chan struct{}, 1)}
	started.serves(true)
	server := grpc.NewServer()
	llmrouterv1.RegisterRouterServiceServer(server, started)
	healthv1.RegisterHealthServer(server, started.health)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return started
}

func (r *replica) serves(serving bool) {
	r.health.mu.Lock()
	defer r.health.mu.Unlock()
	r.health.serving = serving
	close(r.health.changed)
	r.health.changed = make(chan struct{})
}

// watchable is a health service. That of grpc-go would also make clients of this process ask for health, which is what
// these tests are to find out about ours.
type watchable struct {
	healthv1.UnimplementedHealthServer
	mu      sync.Mutex
	serving bool
	changed chan struct{}
}

func (w *watchable) Watch(asked *healthv1.HealthCheckRequest, out grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	for {
		w.mu.Lock()
		serving, changed := w.serving, w.changed
		w.mu.Unlock()
		status := healthv1.HealthCheckResponse_NOT_SERVING
		if asked.GetService() != llmrouterv1.RouterService_ServiceDesc.ServiceName {
			status = healthv1.HealthCheckResponse_SERVICE_UNKNOWN
		} else if serving {
			status = healthv1.HealthCheckResponse_SERVING
		}
		if err := out.Send(&healthv1.HealthCheckResponse{Status: status}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-out.Context().Done():
			return nil
		}
	}
}

func (r *replica) Complete(ctx context.Context, request *llmrouterv1.CompleteRequest) (*llmrouterv1.CompleteResponse, error) {
	if err := r.remember(ctx, request); err != nil {
		return nil, err
	}
	return &llmrouterv1.CompleteResponse{Receipt: &llmrouterv1.Receipt{Deployment: r.address}}, nil
}

func (r *replica) StreamComplete(request *llmrouterv1.StreamCompleteRequest, out grpc.ServerStreamingServer[llmrouter.Event]) error {
	if err := r.remember(out.Context(), &llmrouter.Request{IdempotencyKey: request.GetIdempotencyKey()}); err != nil {
		return err
	}
	events := []*llmrouter.Event{
		{Event: &llmrouterv1.StreamCompleteResponse_Decision{Decision: &llmrouterv1.Decision{}}},
		{}, // newer than any client
		{Event: &llmrouterv1.StreamCompleteResponse_TextDelta{TextDelta: &llmrouterv1.TextDelta{Text: "Hello"}}},
	}
	for _, event := range events {
		if err := out.Send(event); err != nil {
			return err
		}
	}
	<-out.Context().Done()
	r.ended <- struct{}{}
	return out.Context().Err()
}

func (r *replica) remember(ctx context.Context, request *llmrouter.Request) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	headers, _ := metadata.FromIncomingContext(ctx)
	deadline, _ := ctx.Deadline()
	r.requests = append(r.requests, request)
	r.headers = append(r.headers, headers)
	r.timeouts = append(r.timeouts, time.Until(deadline))
	return r.fail
}

// client is a client of these replicas, none of which is found by name.
func client(t *testing.T, replicas []*replica, options ...llmrouter.Option) *llmrouter.Client {
	named := manual.NewBuilderWithScheme("replicas")
	var endpoints []resolver.Endpoint
	for _, one := range replicas {
		endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: one.address}}})
	}
	named.InitialState(resolver.State{Endpoints: endpoints})
	options = append([]llmrouter.Option{
		llmrouter.WithAPIKey(""), llmrouter.WithDialOptions(grpc.WithResolvers(named)),
	}, options...)
	made, err := llmrouter.New("replicas:///all", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made
}
