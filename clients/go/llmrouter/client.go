// Package llmrouter is a thin client of the llmrouter API: whole answers, streams as iterators, typed errors.
//
// Every call has a deadline: the context's, else the client's. Cancelling the context ends the call, at the provider
// too. Calls are repeated and balanced as the service config says that the project publishes for all languages; do not
// wrap them in retries of your own, since the router has retried and fallen back already.
package llmrouter

import (
	"context"
	_ "embed"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health" // clients ask replicas for their health only with this
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

// Version of this client, as its user agent says.
const Version = "0.1.0"

//go:embed service_config.json
var serviceConfig string

const maxPageSize = 1000

// Client calls a router. It is safe for concurrent use, and one per process is enough.
type Client struct {
	// Router and Admin are the generated stubs, for what the methods below do not cover. Their calls carry the client's
	// key, deadline and trace context too, and fail with *Error.
	Router llmrouterv1.RouterServiceClient
	Admin  llmrouterv1.AdminServiceClient

	conn *grpc.ClientConn
}

// New is a client of "host:port" or any other gRPC target; all addresses of a host are used. Nothing is sent yet.
func New(target string, options ...Option) (*Client, error) {
	settings, err := settingsOf(target, options)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target, settings.dialOptions()...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Router: llmrouterv1.NewRouterServiceClient(conn),
		Admin:  llmrouterv1.NewAdminServiceClient(conn),
		conn:   conn,
	}, nil
}

// Close ends the connections. Calls in progress are cancelled.
func (c *Client) Close() error { return c.conn.Close() }

// Answer is a verified, whole answer.
type Answer struct {
	Message      *llmrouterv1.Message
	FinishReason llmrouterv1.FinishReason
	Receipt      *llmrouterv1.Receipt
}

// Text is all text of the message, joined without a separator.
func (a *Answer) Text() string { return textOf(a.Message) }

// Complete gives the whole answer at once.
func (c *Client) Complete(ctx context.Context, request *Request) (*Answer, error) {
	response, err := c.Router.Complete(ctx, keyed(request, &llmrouterv1.CompleteRequest{}))
	if err != nil {
		return nil, err
	}
	return &Answer{response.GetMessage(), response.GetFinishReason(), response.GetReceipt()}, nil
}

// Stream gives the answer event by event. The call begins when the stream is read.
func (c *Client) Stream(ctx context.Context, request *Request) *Stream {
	ctx, requestID := identified(ctx)
	return &Stream{
		requestID: requestID,
		open: func(ctx context.Context) (grpc.ServerStreamingClient[Event], error) {
			return c.Router.StreamComplete(ctx, keyed(request, &llmrouterv1.StreamCompleteRequest{}))
		},
		ctx: ctx,
	}
}

// Route decides only: nothing is called upstream and nothing is paid.
func (c *Client) Route(ctx context.Context, request *Request) (*llmrouterv1.RouteResponse, error) {
	return c.Router.Route(ctx, copied(request, &llmrouterv1.RouteRequest{}))
}

// Receipt is the full account of an earlier call, also of one that failed or was cancelled.
func (c *Client) Receipt(ctx context.Context, requestID string) (*llmrouterv1.Receipt, error) {
	response, err := c.Router.GetReceipt(ctx, &llmrouterv1.GetReceiptRequest{RequestId: requestID})
	return response.GetReceipt(), err
}

// Models lists all deployments that can be called, ordered by id.
func (c *Client) Models(ctx context.Context) ([]*llmrouterv1.Deployment, error) {
	var deployments []*llmrouterv1.Deployment
	request := &llmrouterv1.ListModelsRequest{PageSize: maxPageSize}
	for {
		page, err := c.Router.ListModels(ctx, request)
		if err != nil {
			return nil, err
		}
		deployments = append(deployments, page.GetDeployments()...)
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" {
			return deployments, nil
		}
	}
}

// keyed is the request as another message, with an idempotency key if it has none: a repeat by the transport is then
// not paid for twice.
func keyed[M interface {
	proto.Message
	GetIdempotencyKey() string
}](request *Request, message M) M {
	copied(request, message)
	if message.GetIdempotencyKey() == "" {
		set(message, "idempotency_key", protoreflect.ValueOfString(newID()))
	}
	return message
}

// copied sets the fields that the messages share. What they point to is not copied: nobody writes to it.
func copied[M proto.Message](request *Request, message M) M {
	request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		set(message, field.Name(), value)
		return true
	})
	return message
}

func set(message proto.Message, name protoreflect.Name, value protoreflect.Value) {
	reflected := message.ProtoReflect()
	if field := reflected.Descriptor().Fields().ByName(name); field != nil {
		reflected.Set(field, value)
	}
}
