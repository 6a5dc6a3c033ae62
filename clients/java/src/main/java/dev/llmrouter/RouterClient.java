package dev.llmrouter;

import dev.llmrouter.v1.AdminServiceGrpc;
import dev.llmrouter.v1.AdminServiceGrpc.AdminServiceBlockingStub;
import dev.llmrouter.v1.CompleteRequestOrBuilder;
import dev.llmrouter.v1.Deployment;
import dev.llmrouter.v1.GetReceiptRequest;
import dev.llmrouter.v1.ListModelsRequest;
import dev.llmrouter.v1.ListModelsResponse;
import dev.llmrouter.v1.Receipt;
import dev.llmrouter.v1.RouteRequest;
import dev.llmrouter.v1.RouteResponse;
import dev.llmrouter.v1.RouterServiceGrpc;
import dev.llmrouter.v1.RouterServiceGrpc.RouterServiceBlockingStub;
import dev.llmrouter.v1.StreamCompleteRequest;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Calls a router. It is safe for concurrent use, and one per process is enough.
 *
 * <p>Every call has a deadline: that of its {@link CallSettings}, else of gRPC's current {@code Context}, else the client's. An
 * interrupt of the calling thread ends its call, at the provider too. Calls are repeated and balanced as the service config says
 * that the project publishes for all languages; do not wrap them in retries of your own, since the router has retried and
 * fallen back already.
 *
 * <p>A call that fails is a {@link RouterException}. What cannot be sent at all is an {@link IllegalArgumentException}.
 */
public final class RouterClient implements AutoCloseable {
  private static final int MAX_PAGE_SIZE = 1000;
  private static final long SECONDS_TO_CLOSE = 5;

  private final ManagedChannel connections;
  private final Channel channel;

  private RouterClient(ManagedChannel connections, ClientOptions options) {
    this.connections = connections;
    this.channel = ClientInterceptors.intercept(connections, new OutgoingCalls(options));
  }

  /**
   * A client of "host:port" or any other gRPC target; all addresses of a host are used. Nothing is sent yet.
   *
   * @throws IllegalArgumentException where the API key would travel unencrypted to another machine
   */
  public static RouterClient connect(String target, ClientOptions options) {
    return new RouterClient(Channels.open(target, options), options);
  }

  /** A client with {@link ClientOptions#defaults()}. */
  public static RouterClient connect(String target) {
    return connect(target, ClientOptions.defaults());
  }

  /** The whole answer at once. */
  public Answer complete(CompleteRequestOrBuilder request, CallSettings settings) {
    return Answer.of(call(RouterServiceGrpc.getCompleteMethod(), Requests.keyed(request), settings));
  }

  /** {@link #complete(CompleteRequestOrBuilder, CallSettings)} with the client's settings. */
  public Answer complete(CompleteRequestOrBuilder request) {
    return complete(request, CallSettings.defaults());
  }

  /** The answer to one user message. */
  public Answer complete(String prompt) {
    return complete(Requests.ask(prompt));
  }

  /**
   * The whole answer, without waiting for it. Cancelling the future ends the call, at the provider too. It fails with a
   * {@link RouterException}, which {@code join} and {@code get} wrap as they do.
   */
  public CompletableFuture<Answer> completeAsync(CompleteRequestOrBuilder request, CallSettings settings) {
    FutureAnswer answer =
        new FutureAnswer(channel.newCall(RouterServiceGrpc.getCompleteMethod(), settings.callOptions()));
    answer.ask(Requests.keyed(request));
    return answer;
  }

  /** {@link #completeAsync(CompleteRequestOrBuilder, CallSettings)} with the client's settings. */
  public CompletableFuture<Answer> completeAsync(CompleteRequestOrBuilder request) {
    return completeAsync(request, CallSettings.defaults());
  }

  /** The answer event by event, from now on. Close it: a stream that is left before its end is cancelled then. */
  public AnswerStream stream(CompleteRequestOrBuilder request, CallSettings settings) {
    StreamCompleteRequest asked = Requests.keyed(Requests.copied(request, StreamCompleteRequest.newBuilder()));
    CallSettings identified = settings.identified();
    return new AnswerStream(
        channel.newCall(RouterServiceGrpc.getStreamCompleteMethod(), identified.callOptions()), asked, identified.requestId());
  }

  /** {@link #stream(CompleteRequestOrBuilder, CallSettings)} with the client's settings. */
  public AnswerStream stream(CompleteRequestOrBuilder request) {
    return stream(request, CallSettings.defaults());
  }

  /** The answer to one user message, event by event. */
  public AnswerStream stream(String prompt) {
    return stream(Requests.ask(prompt));
  }

  /** A decision only: nothing is called upstream and nothing is paid. */
  public RouteResponse route(CompleteRequestOrBuilder request, CallSettings settings) {
    RouteRequest asked = Requests.copied(request, RouteRequest.newBuilder()).build();
    return call(RouterServiceGrpc.getRouteMethod(), asked, settings);
  }

  /** {@link #route(CompleteRequestOrBuilder, CallSettings)} with the client's settings. */
  public RouteResponse route(CompleteRequestOrBuilder request) {
    return route(request, CallSettings.defaults());
  }

  /** The full account of an earlier call, also of one that failed or was cancelled. */
  public Receipt receipt(String requestId, CallSettings settings) {
    GetReceiptRequest asked = GetReceiptRequest.newBuilder().setRequestId(requestId).build();
    return call(RouterServiceGrpc.getGetReceiptMethod(), asked, settings).getReceipt();
  }

  /** {@link #receipt(String, CallSettings)} with the client's settings. */
  public Receipt receipt(String requestId) {
    return receipt(requestId, CallSettings.defaults());
  }

  /** All deployments that can be called, ordered by id. */
  public List<Deployment> models(CallSettings settings) {
    List<Deployment> deployments = new ArrayList<>();
    String pageToken = "";
    do {
      ListModelsRequest asked =
          ListModelsRequest.newBuilder().setPageSize(MAX_PAGE_SIZE).setPageToken(pageToken).build();
      ListModelsResponse page = call(RouterServiceGrpc.getListModelsMethod(), asked, settings);
      deployments.addAll(page.getDeploymentsList());
      pageToken = page.getNextPageToken();
    } while (!pageToken.isEmpty());
    return List.copyOf(deployments);
  }

  /** {@link #models(CallSettings)} with the client's settings. */
  public List<Deployment> models() {
    return models(CallSettings.defaults());
  }

  /**
   * The generated stub, for what the methods above do not cover. Its calls carry the client's key, deadline and trace context
   * too; they fail with gRPC's exception, of which {@link RouterException#from} tells the same.
   */
  public RouterServiceBlockingStub router() {
    return RouterServiceGrpc.newBlockingStub(channel);
  }

  /** The generated stub of the administrators' service; see {@link #router()}. */
  public AdminServiceBlockingStub admin() {
    return AdminServiceGrpc.newBlockingStub(channel);
  }

  /** For stubs of other kinds, such as {@code RouterServiceGrpc.newStub(client.channel())}; see {@link #router()}. */
  public Channel channel() {
    return channel;
  }

  /** Ends the connections. Calls in progress are cancelled. */
  @Override
  public void close() {
    connections.shutdownNow();
    try {
      connections.awaitTermination(SECONDS_TO_CLOSE, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private <Q, A> A call(MethodDescriptor<Q, A> method, Q request, CallSettings settings) {
    try {
      return ClientCalls.blockingUnaryCall(channel, method, settings.callOptions(), request);
    } catch (StatusRuntimeException failure) {
      throw RouterException.from(failure);
    }
  }
}
