package dev.llmrouter;

import dev.llmrouter.v1.Finished;
import dev.llmrouter.v1.StreamCompleteRequest;
import dev.llmrouter.v1.StreamCompleteResponse;
import dev.llmrouter.v1.StreamCompleteResponse.EventCase;
import io.grpc.ClientCall;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * One streamed answer. Read it once, by one thread, as events or as {@link #text()}.
 *
 * <p>The decision comes first and {@code Finished} last; {@code getEventCase()} tells events apart. Where the call fails, the
 * iterator throws a {@link RouterException}.
 */
public final class AnswerStream implements Iterable<StreamCompleteResponse>, AutoCloseable {
  private final ClientCall<StreamCompleteRequest, StreamCompleteResponse> call;
  private final Iterator<StreamCompleteResponse> received;
  private final String requestId;
  private boolean read;
  private volatile Finished finished;

  AnswerStream(
      ClientCall<StreamCompleteRequest, StreamCompleteResponse> call, StreamCompleteRequest request, String requestId) {
    this.call = call;
    this.requestId = requestId;
    this.received = ClientCalls.blockingServerStreamingCall(call, request);
  }

  /** Finds the receipt of the call, also of one that was left early. */
  public String requestId() {
    return requestId;
  }

  /**
   * The last event, once it was read. A failed stream has one too, with the receipt, where the router could still send it.
   */
  public Optional<Finished> finished() {
    return Optional.ofNullable(finished);
  }

  /** The whole answer, once the stream was read to its end; empty before and where it failed. */
  public Optional<Answer> answer() {
    return finished().filter(Finished::hasMessage).map(Answer::of);
  }

  /**
   * The events, as they come.
   *
   * @throws IllegalStateException where the stream was read already
   */
  @Override
  public Iterator<StreamCompleteResponse> iterator() {
    if (read) {
      throw new IllegalStateException("This stream was read already; call stream again for another answer.");
    }
    read = true;
    return new Events();
  }

  /**
   * The answer's text alone, piece by piece. With {@code accept_discard} read the events instead, which say what to forget.
   */
  public Iterable<String> text() {
    return () -> new Text(iterator());
  }

  /**
   * Ends the call, at the provider too, unless it has ended. Any thread may do so; one that reads gets a {@link
   * RouterException} with {@code CANCELLED}. {@link RouterClient#receipt(String)} then says what the call cost.
   */
  @Override
  public void close() {
    call.cancel("The caller left the stream.", null);
  }

  private final class Events implements Iterator<StreamCompleteResponse> {
    private StreamCompleteResponse next;

    @Override
    public boolean hasNext() {
      try {
        while (next == null && received.hasNext()) {
          StreamCompleteResponse event = received.next();
          if (event.getEventCase() != EventCase.EVENT_NOT_SET) { // else it is newer than this client
            next = event;
          }
        }
      } catch (StatusRuntimeException failure) {
        throw RouterException.from(failure);
      }
      return next != null;
    }

    @Override
    public StreamCompleteResponse next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      StreamCompleteResponse event = next;
      next = null;
      if (event.hasFinished()) {
        finished = event.getFinished();
      }
      return event;
    }
  }

  private record Text(Iterator<StreamCompleteResponse> events, StringBuilder waiting) implements Iterator<String> {
    Text(Iterator<StreamCompleteResponse> events) {
      this(events, new StringBuilder());
    }

    @Override
    public boolean hasNext() {
      while (waiting.isEmpty() && events.hasNext()) {
        waiting.append(events.next().getTextDelta().getText());
      }
      return !waiting.isEmpty();
    }

    @Override
    public String next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      String text = waiting.toString();
      waiting.setLength(0);
      return text;
    }
  }
}
