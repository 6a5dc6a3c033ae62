// An answer as it is written. Usage: go run ./examples/stream [ADDRESS].
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/llmrouter/llmrouter/clients/go/llmrouter"
	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

func main() {
	router, err := llmrouter.New(append(os.Args[1:], "localhost:50051")[0])
	if err != nil {
		log.Fatal(err)
	}
	defer router.Close()

	request := llmrouter.Ask("Tell me a short story about a lighthouse.")
	request.Caller = &llmrouterv1.Caller{Feature: "chat_reply", Tier: "pro"}
	stream := router.Stream(context.Background(), request)
	for text, err := range stream.Text() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text)
	}
	fmt.Println()
	for _, attempt := range stream.Answer().Receipt.GetAttempts() {
		fmt.Printf("attempt %d: %s %s\n", attempt.GetNumber(), attempt.GetDeployment(), cmp.Or(attempt.GetErrorType(), "ok"))
	}
}
