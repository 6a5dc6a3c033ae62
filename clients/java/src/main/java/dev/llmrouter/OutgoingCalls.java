package dev.llmrouter;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Gives every call its deadline, key, request id and trace context. */
final class OutgoingCalls implements ClientInterceptor {
  static final Metadata.Key<String> REQUEST_ID = header("x-request-id");

  private final ClientOptions options;

  OutgoingCalls(ClientOptions options) {
    this.options = options;
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions given, Channel next) {
    boolean bounded = given.getDeadline() != null || Context.current().getDeadline() != null;
    CallOptions call =
        bounded ? given : given.withDeadlineAfter(options.timeout.toNanos(), TimeUnit.NANOSECONDS);
    Map<String, String> headers = headers(given);
    return new SimpleForwardingClientCall<>(next.newCall(method, call)) {
      @Override
      public void start(Listener<A> listener, Metadata metadata) {
        headers.forEach((name, value) -> metadata.put(header(name), value));
        super.start(new Told<>(listener, metadata.get(REQUEST_ID)), metadata);
      }
    };
  }

  private Map<String, String> headers(CallOptions call) {
    String traceparent = call.getOption(CallSettings.TRACEPARENT);
    Map<String, String> headers =
        new HashMap<>(traceparent.isEmpty() ? options.traceContext.get() : Map.of("traceparent", traceparent));
    headers.forEach((name, value) -> Ids.metadataText("The value of " + name, value));
    String requestId = call.getOption(CallSettings.REQUEST_ID);
    headers.put(REQUEST_ID.name(), requestId.isEmpty() ? Ids.made() : requestId);
    if (!options.apiKey.isEmpty()) {
      headers.put("authorization", "Bearer " + options.apiKey);
    }
    return headers;
  }

  private static Metadata.Key<String> header(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** Tells the request id with the trailers, which is all that gRPC's exceptions keep of a call. */
  private static final class Told<A> extends SimpleForwardingClientCallListener<A> {
    private final String requestId;

    Told(ClientCall.Listener<A> listener, String requestId) {
      super(listener);
      this.requestId = requestId;
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      Metadata told = new Metadata();
      told.merge(trailers);
      told.discardAll(REQUEST_ID);
      told.put(REQUEST_ID, requestId);
      super.onClose(status, told);
    }
  }
}
