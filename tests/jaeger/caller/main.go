// Command caller makes one call of a router from within a span of its own, as a service would.
//
// It prints one JSON line: the trace's id, the span that the call was made from, the request's id, the error's gRPC code
// if it failed, and the receipt's cost in nano-USD. Both sides export to the collector in OTEL_EXPORTER_OTLP_ENDPOINT.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmrouter/llmrouter/clients/go/llmrouter"
	v1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

type outcome struct {
	TraceID     string `json:"traceId"`
	SpanID      string `json:"spanId"`
	RequestID   string `json:"requestId"`
	Code        string `json:"code,omitempty"`
	CostNanoUSD int64  `json:"costNanoUsd"`
	Characters  int    `json:"characters"`
}

func main() {
	var (
		target      = flag.String("router", "localhost:50051", "address of the router")
		policy      = flag.String("policy", "", "policy to route by")
		prompt      = flag.String("prompt", "Write a greeting for my neighbour.", "what is asked")
		stream      = flag.Bool("stream", false, "read the answer as a stream")
		cancelAfter = flag.Int("cancel-after", 0, "leave the stream once so many characters arrived")
	)
	flag.Parse()
	if err := run(context.Background(), *target, *policy, *prompt, *stream, *cancelAfter); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, target, policy, prompt string, stream bool, cancelAfter int) (err error) {
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return fmt.Errorf("cannot export spans: %w", err)
	}
	traces := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(resource.Default()))
	defer func() { err = errors.Join(err, traces.Shutdown(ctx)) }()
	otel.SetTracerProvider(traces)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	router, err := llmrouter.New(target, llmrouter.WithTraceContext(func(ctx context.Context) map[string]string {
		carrier := propagation.MapCarrier{}
		otel.GetTextMapPropagator().Inject(ctx, carrier)
		return carrier
	}))
	if err != nil {
		return err
	}
	defer router.Close()

	ctx, span := otel.Tracer("caller").Start(ctx, "answer a customer", trace.WithSpanKind(trace.SpanKindInternal))
	defer span.End()
	request := llmrouter.Ask(prompt)
	request.Caller = &v1.Caller{Feature: "support_chat", Tier: "paid"}
	request.Routing = &v1.Routing{Policy: policy}
	told := outcome{TraceID: span.SpanContext().TraceID().String(), SpanID: span.SpanContext().SpanID().String()}
	if stream {
		err = readStream(ctx, router, request, cancelAfter, &told)
	} else {
		err = readWhole(ctx, router, request, &told)
	}
	var failed *llmrouter.Error
	if errors.As(err, &failed) {
		told.Code, told.RequestID = failed.Code.String(), failed.RequestID
	} else if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}

func readWhole(ctx context.Context, router *llmrouter.Client, request *v1.CompleteRequest, told *outcome) error {
	answer, err := router.Complete(ctx, request)
	if err != nil {
		return err
	}
	told.RequestID, told.CostNanoUSD = answer.Receipt.GetRequestId(), answer.Receipt.GetCostNanoUsd()
	told.Characters = len(answer.Text())
	return nil
}

func readStream(
	ctx context.Context, router *llmrouter.Client, request *v1.CompleteRequest, cancelAfter int, told *outcome,
) error {
	stream := router.Stream(ctx, request)
	told.RequestID = stream.RequestID()
	var read strings.Builder
	for text, err := range stream.Text() {
		if err != nil {
			return err
		}
		read.WriteString(text)
		told.Characters = read.Len()
		if cancelAfter > 0 && read.Len() >= cancelAfter {
			return nil // which cancels the call
		}
	}
	told.CostNanoUSD = stream.Answer().Receipt.GetCostNanoUsd()
	return nil
}
