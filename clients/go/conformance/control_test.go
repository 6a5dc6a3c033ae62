package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"
)

const variable = "LLMROUTER_CONFORMANCE"

// control is the server of tests/conformance, whose README.md says what it answers.
type control struct{ url string }

type call struct {
	Method      string          `json:"method"`
	Request     json.RawMessage `json:"request"`
	APIKey      string          `json:"apiKey"`
	TimeoutMs   int             `json:"timeoutMs"`
	RequestID   string          `json:"requestId"`
	Traceparent string          `json:"traceparent"`
	During      *during         `json:"during"`
}

type during struct {
	Events         int    `json:"events"`
	UpstreamTokens int    `json:"upstreamTokens"`
	Do             string `json:"do"`
}

func (c *call) timeout() time.Duration { return time.Duration(c.TimeoutMs) * time.Millisecond }

type begun struct {
	Session string `json:"session"`
	Target  string `json:"target"`
	Call    *call  `json:"call"`
}

type judged struct {
	Problems []string `json:"problems"`
	Call     *call    `json:"call"`
}

// outcome is what the client gave its user.
type outcome struct {
	RequestID string            `json:"requestId,omitempty"`
	Answer    map[string]any    `json:"answer,omitempty"`
	Events    []json.RawMessage `json:"events,omitzero"`
	Response  json.RawMessage   `json:"response,omitempty"`
	Error     map[string]any    `json:"error,omitempty"`
	Cancelled bool              `json:"cancelled,omitempty"`
}

// connected is the running server. The tests of this package are no use without it: `make clients-test` starts it.
func connected(t *testing.T) *control {
	address := os.Getenv(variable)
	if address == "" {
		t.Skipf("%s is not set: run `make clients-test`, or `python -m tests.conformance.serve` and set it", variable)
	}
	return &control{address}
}

func (c *control) cases(t *testing.T) []string {
	var listed []struct{ Name string }
	c.ask(t, http.MethodGet, "/cases", nil, &listed)
	var names []string
	for _, one := range listed {
		names = append(names, one.Name)
	}
	return names
}

func (c *control) begin(t *testing.T, name string) begun {
	var answer begun
	c.ask(t, http.MethodPost, (&url.URL{Path: "/cases/" + name}).EscapedPath(), nil, &answer)
	return answer
}

func (c *control) report(t *testing.T, session string, told *outcome) judged {
	var answer judged
	c.ask(t, http.MethodPost, "/sessions/"+session+"/outcome", told, &answer)
	return answer
}

func (c *control) drain(t *testing.T, session string) {
	c.ask(t, http.MethodPost, "/sessions/"+session+"/drain", nil, nil)
}

func (c *control) wait(t *testing.T, session string, tokens int) {
	c.ask(t, http.MethodPost, fmt.Sprintf("/sessions/%s/wait?tokens=%d", session, tokens), nil, nil)
}

func (c *control) ask(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, c.url+path, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, path, response.Status, read, err)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(read, answer); err != nil {
		t.Fatal(err)
	}
}
