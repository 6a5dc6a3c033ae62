package llmrouter

import (
	"strings"

	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

// Request is what is asked: a chat, who asks and what for, and what they wish of the routing. One type serves Complete,
// Stream and Route. Without an IdempotencyKey each call gets one of its own.
type Request = llmrouterv1.CompleteRequest

// Ask is a request with one user message.
func Ask(prompt string) *Request { return Chat(User(prompt)) }

// Chat is a request with a conversation, oldest message first. An Answer's Message can be appended as it is.
func Chat(messages ...*llmrouterv1.Message) *Request {
	return &Request{Chat: &llmrouterv1.Chat{Messages: messages}}
}

// System is the operator's instruction.
func System(text string) *llmrouterv1.Message { return said(llmrouterv1.Role_ROLE_SYSTEM, text) }

// User is what the person or program asks.
func User(text string) *llmrouterv1.Message { return said(llmrouterv1.Role_ROLE_USER, text) }

// Assistant is what the model answered earlier.
func Assistant(text string) *llmrouterv1.Message { return said(llmrouterv1.Role_ROLE_ASSISTANT, text) }

// ToolResult answers a tool call of the message before.
func ToolResult(toolCallID, text string) *llmrouterv1.Message {
	message := said(llmrouterv1.Role_ROLE_TOOL, text)
	message.ToolCallId = toolCallID
	return message
}

func said(role llmrouterv1.Role, text string) *llmrouterv1.Message {
	part := &llmrouterv1.Part{Content: &llmrouterv1.Part_Text{Text: text}}
	return &llmrouterv1.Message{Role: role, Parts: []*llmrouterv1.Part{part}}
}

func textOf(message *llmrouterv1.Message) string {
	var text strings.Builder
	for _, part := range message.GetParts() {
		text.WriteString(part.GetText())
	}
	return text.String()
}
