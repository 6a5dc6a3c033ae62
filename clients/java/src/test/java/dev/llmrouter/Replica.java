package dev.llmrouter;

import dev.llmrouter.v1.CompleteRequest;
import dev.llmrouter.v1.CompleteResponse;
import dev.llmrouter.v1.Decision;
import dev.llmrouter.v1.QueryUsageRequest;
import dev.llmrouter.v1.QueryUsageResponse;
import dev.llmrouter.v1.Receipt;
import dev.llmrouter.v1.RouterServiceGrpc;
import dev.llmrouter.v1.StreamCompleteRequest;
import dev.llmrouter.v1.StreamCompleteResponse;
import dev.llmrouter.v1.TextDelta;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A gRPC server that remembers what arrived. The router itself is in the conformance tests. */
final class Replica extends RouterServiceGrpc.RouterServiceImplBase implements AutoCloseable {
  /** A prompt whose answer does not come. */
  static final String NEVER = "Never";

  final List<String> idempotencyKeys = new CopyOnWriteArrayList<>();
  final List<Metadata> headers = new CopyOnWriteArrayList<>();
  final List<Duration> timeouts = new CopyOnWriteArrayList<>();
  final CountDownLatch begun = new CountDownLatch(1);
  final CountDownLatch left = new CountDownLatch(1);
  volatile StatusRuntimeException failure;
  volatile int failures = Integer.MAX_VALUE;

  private final HealthStatusManager health = new HealthStatusManager();
  private final Server server;

  Replica() throws IOException {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(this)
            .addService(health.getHealthService())
            .intercept(new Remember())
            .build()
            .start();
    serves(true);
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  void serves(boolean serving) {
    health.setStatus(RouterServiceGrpc.SERVICE_NAME, serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  }

  @Override
  public void complete(CompleteRequest request, StreamObserver<CompleteResponse> answer) {
    idempotencyKeys.add(request.getIdempotencyKey());
    if (failure != null && idempotencyKeys.size() <= failures) {
      answer.onError(failure);
    } else if (request.getChat().getMessages(0).getParts(0).getText().equals(NEVER)) {
      awaitCancel(answer);
    } else {
      answer.onNext(CompleteResponse.newBuilder().setReceipt(Receipt.newBuilder().setDeployment(address())).build());
      answer.onCompleted();
    }
  }

  @Override
  public void streamComplete(StreamCompleteRequest request, StreamObserver<StreamCompleteResponse> answer) {
    idempotencyKeys.add(request.getIdempotencyKey());
    if (failure != null) {
      answer.onError(failure);
      return;
    }
    awaitCancel(answer);
    answer.onNext(StreamCompleteResponse.newBuilder().setDecision(Decision.getDefaultInstance()).build());
    answer.onNext(StreamCompleteResponse.getDefaultInstance()); // newer than any client
    answer.onNext(StreamCompleteResponse.newBuilder().setTextDelta(TextDelta.newBuilder().setText("Hello")).build());
  }

  @Override
  public void queryUsage(QueryUsageRequest request, StreamObserver<QueryUsageResponse> answer) {
    if (failure != null) {
      answer.onError(failure);
    } else {
      answer.onNext(QueryUsageResponse.getDefaultInstance());
      answer.onCompleted();
    }
  }

  private void awaitCancel(StreamObserver<?> answer) {
    ((ServerCallStreamObserver<?>) answer).setOnCancelHandler(left::countDown);
    begun.countDown();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private final class Remember implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata metadata, ServerCallHandler<Q, A> next) {
      if (call.getMethodDescriptor().getServiceName().equals(RouterServiceGrpc.SERVICE_NAME)) {
        headers.add(metadata);
        timeouts.add(Duration.ofNanos(Context.current().getDeadline().timeRemaining(TimeUnit.NANOSECONDS)));
      }
      return next.startCall(call, metadata);
    }
  }
}
