// An answer in one message. Usage: go run ./examples/complete [ADDRESS].
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/llmrouter/llmrouter/clients/go/llmrouter"
	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

func main() {
	address := append(os.Args[1:], "localhost:50051")[0]
	router, err := llmrouter.New(address, llmrouter.WithTimeout(30*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer router.Close()

	request := llmrouter.Ask("Summarise: the parcel arrived broken and I want my money back.")
	request.Caller = &llmrouterv1.Caller{Feature: "support_summary", Tier: "free"}
	answer, err := router.Complete(context.Background(), request)
	var failed *llmrouter.Error
	if errors.As(err, &failed) {
		log.Fatalf("%s: %s", failed.Reason, failed.Message)
	} else if err != nil {
		log.Fatal(err)
	}
	receipt := answer.Receipt
	fmt.Println(answer.Text())
	fmt.Printf("%s, by rule %s of policy %s: %d nano-USD\n",
		receipt.GetModel(), receipt.GetRule(), receipt.GetPolicy(), receipt.GetCostNanoUsd())
}
