package dev.llmrouter;

import io.grpc.CallOptions;
import io.grpc.stub.AbstractStub;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** What one call has of its own. Immutable: each method gives another one. */
public final class CallSettings {
  static final CallOptions.Key<String> REQUEST_ID = CallOptions.Key.createWithDefault("llmrouter.requestId", "");
  static final CallOptions.Key<String> TRACEPARENT = CallOptions.Key.createWithDefault("llmrouter.traceparent", "");

  private static final CallSettings DEFAULTS = new CallSettings(null, "", "");

  private final Duration timeout;
  private final String requestId;
  private final String traceparent;

  private CallSettings(Duration timeout, String requestId, String traceparent) {
    this.timeout = timeout;
    this.requestId = requestId;
    this.traceparent = traceparent;
  }

  /** The client's timeout, a request id made for the call, the client's trace context. */
  public static CallSettings defaults() {
    return DEFAULTS;
  }

  /** The call's deadline, counted from its start. */
  public CallSettings timeout(Duration timeout) {
    return new CallSettings(ClientOptions.positive(timeout), requestId, traceparent);
  }

  /** Calls under this request id, which finds the receipt. */
  public CallSettings requestId(String requestId) {
    return new CallSettings(timeout, Ids.metadataText("A request id", requestId), traceparent);
  }

  /** Calls under this W3C trace context, in place of what {@link ClientOptions#traceContext} finds. */
  public CallSettings traceparent(String traceparent) {
    return new CallSettings(timeout, requestId, Ids.metadataText("A traceparent", traceparent));
  }

  /** The generated stub with these settings, for one call: {@code settings.on(client.router()).queryUsage(request)}. */
  public <S extends AbstractStub<S>> S on(S stub) {
    S identified = stub.withOption(REQUEST_ID, requestId).withOption(TRACEPARENT, traceparent);
    return timeout == null ? identified : identified.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  String requestId() {
    return requestId;
  }

  CallSettings identified() {
    return requestId.isEmpty() ? requestId(Ids.made()) : this;
  }

  CallOptions callOptions() {
    CallOptions options = CallOptions.DEFAULT.withOption(REQUEST_ID, requestId).withOption(TRACEPARENT, traceparent);
    return timeout == null ? options : options.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }
}
