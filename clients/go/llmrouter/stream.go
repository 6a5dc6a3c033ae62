package llmrouter

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	llmrouterv1 "github.com/llmrouter/llmrouter/clients/go/llmrouter/v1"
)

// Event is one event of a streamed answer; GetEvent tells which.
type Event = llmrouterv1.StreamCompleteResponse

// Stream is one streamed answer. Read it once, by Events or by Text.
type Stream struct {
	requestID string
	open      func(context.Context) (grpc.ServerStreamingClient[Event], error)
	ctx       context.Context
	read      bool
	finished  *llmrouterv1.Finished
}

// RequestID finds the receipt of the call, also of one that was left early.
func (s *Stream) RequestID() string { return s.requestID }

// Finished is the last event once it was read, nil before. A failed stream has one too, with the receipt, where the
// router could still send it.
func (s *Stream) Finished() *llmrouterv1.Finished { return s.finished }

// Answer is the whole answer once the stream was read to its end, nil before and where it failed.
func (s *Stream) Answer() *Answer {
	if s.finished.GetMessage() == nil {
		return nil
	}
	return &Answer{s.finished.GetMessage(), s.finished.GetFinishReason(), s.finished.GetReceipt()}
}

// Events yields the decision first and Finished last, or an *Error as the last pair. Leaving the loop early cancels the
// call, at the provider too; Client.Receipt then says what it cost.
func (s *Stream) Events() iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		if s.read {
			yield(nil, errors.New("llmrouter: this stream was read already; call Stream again for another answer"))
			return
		}
		s.read = true
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		call, err := s.open(ctx)
		for err == nil {
			var event *Event
			event, err = call.Recv()
			if err != nil || event.GetEvent() == nil { // an event that is newer than this client says nothing
				continue
			}
			if finished := event.GetFinished(); finished != nil {
				s.finished = finished
			}
			if !yield(event, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

// Text yields the answer's text alone, piece by piece. With AcceptDiscard read Events instead, which say what to forget.
func (s *Stream) Text() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range s.Events() {
			if err != nil {
				yield("", err)
				return
			}
			if text := event.GetTextDelta().GetText(); text != "" && !yield(text, nil) {
				return
			}
		}
	}
}
