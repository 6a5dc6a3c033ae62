package dev.llmrouter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import dev.llmrouter.v1.CompleteRequest;
import dev.llmrouter.v1.QueryUsageRequest;
import dev.llmrouter.v1.ReceiptSummary;
import dev.llmrouter.v1.RouteRequest;
import dev.llmrouter.v1.StreamCompleteRequest;
import dev.llmrouter.v1.StreamCompleteResponse;
import io.grpc.Context;
import io.grpc.EquivalentAddressGroup;
import io.grpc.Metadata;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class RouterClientTest {
  /** How long what happens by itself may take on a busy machine. */
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private static final ClientOptions KEYLESS = ClientOptions.defaults().apiKey("");

  private final List<AutoCloseable> opened = new ArrayList<>();

  @AfterEach
  void close() throws Exception {
    for (int last = opened.size() - 1; last >= 0; last--) {
      opened.get(last).close();
    }
  }

  @Test
  void replicasThatDoNotServeGetNoCalls() throws Exception {
    Replica first = replica();
    Replica second = replica();
    RouterClient router = client(KEYLESS, first, second);
    Set<String> both = Set.of(first.address(), second.address());
    until(router, both::equals);
    first.serves(false);
    until(router, Set.of(second.address())::equals);
    first.serves(true);
    until(router, both::equals);
  }

  @Test
  void noReplicaThatServesIsUnavailableAtOnce() throws Exception {
    Replica only = replica();
    only.serves(false);
    RouterClient router = client(KEYLESS, only);
    RouterException failure = assertThrows(RouterException.class, () -> router.complete("Hello"));
    assertEquals(Code.UNAVAILABLE, failure.code());
    assertEquals(List.of(), only.idempotencyKeys);
  }

  @Test
  void whatWasUnavailableIsRepeatedUnderTheSameKey() throws Exception {
    Replica server = replica();
    server.failure = io.grpc.Status.UNAVAILABLE.asRuntimeException();
    server.failures = 2;
    client(KEYLESS, server).complete("Large".repeat(500_000)); // beyond what gRPC keeps for a repeat by default
    assertEquals(3, server.idempotencyKeys.size());
    assertEquals(1, Set.copyOf(server.idempotencyKeys).size());
  }

  @Test
  void callsCarryWhatTheyShould() throws Exception {
    Replica server = replica();
    ClientOptions options =
        KEYLESS
            .apiKey("rk_one")
            .plaintextKey()
            .timeout(Duration.ofSeconds(7))
            .traceContext(() -> Map.of("traceparent", "00-current-span", "tracestate", "vendor=1"));
    RouterClient router = client(options, server);
    CallSettings given =
        CallSettings.defaults().requestId("order-1").traceparent("00-given").timeout(Duration.ofSeconds(3));
    router.complete("Hello");
    router.complete(Requests.ask("Hello"), given);
    given.on(router.router()).queryUsage(QueryUsageRequest.getDefaultInstance());
    router.router().queryUsage(QueryUsageRequest.getDefaultInstance());

    assertNotEquals(server.idempotencyKeys.get(0), server.idempotencyKeys.get(1));
    assertEquals(List.of(32, 32), server.idempotencyKeys.stream().map(String::length).toList());
    assertEquals(
        List.of("00-current-span", "00-given", "00-given", "00-current-span"), sent(server, "traceparent"));
    assertEquals(Arrays.asList("vendor=1", null, null, "vendor=1"), sent(server, "tracestate"));
    assertEquals(List.of("order-1", "order-1"), sent(server, "x-request-id").subList(1, 3));
    assertEquals(32, sent(server, "x-request-id").get(0).length());
    assertEquals(Set.of("Bearer rk_one"), Set.copyOf(sent(server, "authorization")));
    assertTrue(sent(server, "user-agent").get(0).matches("llmrouter-java/\\d+\\.\\d+\\.\\d+ grpc-java.*"));
    List<Boolean> below3Seconds = server.timeouts.stream().map(by -> by.toMillis() <= 3000).toList();
    assertEquals(List.of(false, true, true, false), below3Seconds);
    assertTrue(server.timeouts.stream().allMatch(by -> by.toMillis() <= 7000), () -> "" + server.timeouts);
  }

  @Test
  void theDeadlineOfTheCurrentContextCountsBeforeTheClients() throws Exception {
    Replica server = replica();
    RouterClient router = client(KEYLESS.timeout(Duration.ofSeconds(1)), server);
    var timer = Executors.newSingleThreadScheduledExecutor();
    try (Context.CancellableContext longer = Context.current().withDeadlineAfter(50, TimeUnit.SECONDS, timer)) {
      longer.run(() -> router.complete("Hello"));
    }
    timer.shutdownNow();
    assertTrue(server.timeouts.get(0).toSeconds() > 10, () -> "" + server.timeouts);
  }

  @Test
  void theSameRequestServesAllThreeWays() throws Exception {
    Replica server = replica();
    RouterClient router = client(KEYLESS, server);
    CompleteRequest request = Requests.ask("Hello").setIdempotencyKey("mine").build();
    try (AnswerStream stream = router.stream(request)) {
      stream.iterator().next();
    }
    router.complete(request);
    assertEquals(List.of("mine", "mine"), server.idempotencyKeys);
    assertEquals(names(CompleteRequest.getDescriptor()), names(StreamCompleteRequest.getDescriptor()));
    assertEquals(request.getChat(), Requests.copied(request, RouteRequest.newBuilder()).getChat());
  }

  @Test
  void leavingAStreamEndsTheCall() throws Exception {
    Replica server = replica();
    AnswerStream left = client(KEYLESS, server).stream("Hello");
    try (left) {
      assertEquals("Hello", left.text().iterator().next());
    }
    assertTrue(server.left.await(PATIENCE.toSeconds(), TimeUnit.SECONDS), "the call goes on");
    assertThrows(IllegalStateException.class, left::iterator);
    assertTrue(left.answer().isEmpty());
  }

  @Test
  void closingAStreamFromAnotherThreadEndsItsReader() throws Exception {
    Replica server = replica();
    AnswerStream stream = client(KEYLESS, server).stream("Hello");
    CompletableFuture<Integer> read = CompletableFuture.supplyAsync(() -> count(stream));
    assertTrue(server.begun.await(PATIENCE.toSeconds(), TimeUnit.SECONDS));
    stream.close();
    CompletionException failure = assertThrows(CompletionException.class, read::join);
    assertEquals(Code.CANCELLED, assertInstanceOf(RouterException.class, failure.getCause()).code());
  }

  @Test
  void cancellingAFutureEndsTheCall() throws Exception {
    Replica server = replica();
    CompletableFuture<Answer> answer = client(KEYLESS, server).completeAsync(Requests.ask(Replica.NEVER));
    assertTrue(server.begun.await(PATIENCE.toSeconds(), TimeUnit.SECONDS));
    answer.cancel(true);
    assertTrue(server.left.await(PATIENCE.toSeconds(), TimeUnit.SECONDS), "the call goes on");
  }

  @Test
  void interruptingACallerEndsTheCall() throws Exception {
    Replica server = replica();
    RouterClient router = client(KEYLESS, server);
    CompletableFuture<Code> told = new CompletableFuture<>();
    Thread caller =
        new Thread(
            () -> {
              try {
                router.complete(Replica.NEVER);
              } catch (RouterException failure) {
                told.complete(Thread.currentThread().isInterrupted() ? failure.code() : Code.UNKNOWN);
              }
            });
    caller.start();
    assertTrue(server.begun.await(PATIENCE.toSeconds(), TimeUnit.SECONDS));
    caller.interrupt();
    assertEquals(Code.CANCELLED, told.get(PATIENCE.toSeconds(), TimeUnit.SECONDS));
    assertTrue(server.left.await(PATIENCE.toSeconds(), TimeUnit.SECONDS), "the call goes on");
  }

  @Test
  void aFutureGivesTheAnswer() throws Exception {
    Replica server = replica();
    assertEquals(
        server.address(), client(KEYLESS, server).completeAsync(Requests.ask("Hello")).join().receipt().getDeployment());
  }

  @Test
  void aStreamThatOutlastsItsDeadlineSaysSo() throws Exception {
    CallSettings soon = CallSettings.defaults().timeout(Duration.ofMillis(500));
    AnswerStream stream = client(KEYLESS, replica()).stream(Requests.ask("Hello"), soon);
    assertEquals(Code.DEADLINE_EXCEEDED, assertThrows(RouterException.class, () -> count(stream)).code());
    assertTrue(stream.answer().isEmpty());
  }

  @Test
  void eventsNewerThanThisClientArePassedOver() throws Exception {
    try (AnswerStream stream = client(KEYLESS, replica()).stream("Hello")) {
      Iterator<StreamCompleteResponse> events = stream.iterator();
      assertTrue(events.next().hasDecision());
      assertTrue(events.next().hasTextDelta());
    }
  }

  @Test
  void errorsAreTyped() throws Exception {
    Replica server = replica();
    server.failure = refusal();
    RouterClient router = client(KEYLESS, server);
    CallSettings order = CallSettings.defaults().requestId("order-1");
    CompletionException wrapped =
        assertThrows(CompletionException.class, () -> router.completeAsync(Requests.ask("Hello"), order).join());
    StatusRuntimeException stubs =
        assertThrows(
            StatusRuntimeException.class,
            () -> order.on(router.router()).queryUsage(QueryUsageRequest.getDefaultInstance()));
    List<RouterException> failures =
        List.of(
            assertThrows(RouterException.class, () -> router.complete(Requests.ask("Hello"), order)),
            assertThrows(RouterException.class, () -> count(router.stream(Requests.ask("Hello"), order))),
            (RouterException) wrapped.getCause(),
            RouterException.from(stubs));
    for (RouterException failure : failures) {
      assertEquals(Code.RESOURCE_EXHAUSTED, failure.code());
      assertEquals("RATE_LIMITED", failure.reason());
      assertEquals("Too many calls.", failure.description());
      assertEquals(Map.of("limit", "free-rpm"), failure.metadata());
      assertEquals(Duration.ofMillis(1500), failure.retryDelay().orElseThrow());
      assertEquals(List.of(new RouterException.Violation("chat", "missing")), failure.violations());
      assertEquals(2, failure.receiptSummary().orElseThrow().getAttemptCount());
      assertEquals("order-1", failure.requestId());
      assertEquals("RATE_LIMITED: Too many calls. (request order-1)", failure.getMessage());
    }
  }

  @Test
  void detailsThatCannotBeReadHideNoFailure() {
    Status broken =
        Status.newBuilder()
            .setCode(Code.INTERNAL.value())
            .addDetails(Any.newBuilder().setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo").setValue(BROKEN))
            .build();
    RouterException failure = RouterException.from(StatusProto.toStatusRuntimeException(broken));
    assertEquals(Code.INTERNAL, failure.code());
    assertEquals("", failure.reason() + failure.requestId());
  }

  @Test
  void aKeyDoesNotTravelInPlaintext() {
    ClientOptions keyed = KEYLESS.apiKey("rk_secret");
    for (String target :
        List.of("router.example.com:443", "dns:///10.0.0.7:50051", "localhost.example.com:1", "xds:///localhost:1")) {
      IllegalArgumentException refused =
          assertThrows(IllegalArgumentException.class, () -> RouterClient.connect(target, keyed), target);
      assertFalse(refused.getMessage().contains("rk_secret"), refused.getMessage());
    }
    for (ClientOptions allowed : List.of(keyed.plaintextKey(), keyed.tls(), KEYLESS)) {
      RouterClient.connect("router.example.com:443", allowed).close();
    }
    for (String target :
        List.of("localhost:1", "127.0.0.1:1", "[::1]:1", "dns:localhost:1", "dns:///localhost:1")) {
      RouterClient.connect(target, keyed).close();
    }
    assertTrue(Channels.isLocal("unix:/run/llmrouter.sock"));
  }

  @Test
  void theKeyOfTheEnvironmentCountsUnlessOneIsGiven() throws Exception {
    assertThrows(IllegalArgumentException.class, () -> RouterClient.connect("router.example.com:443"));
    Replica server = replica();
    opened.add(RouterClient.connect(server.address()));
    ((RouterClient) opened.get(opened.size() - 1)).complete("Hello");
    assertEquals(List.of("Bearer rk_environment"), sent(server, "authorization"));
  }

  @Test
  void mistakesAreToldBeforeACall() {
    assertThrows(IllegalArgumentException.class, () -> KEYLESS.timeout(Duration.ZERO));
    assertThrows(IllegalArgumentException.class, () -> CallSettings.defaults().timeout(Duration.ofSeconds(-1)));
    assertThrows(IllegalArgumentException.class, () -> CallSettings.defaults().requestId("zwölf"));
    IllegalArgumentException key =
        assertThrows(IllegalArgumentException.class, () -> KEYLESS.apiKey("rk_secret\n"));
    assertFalse(key.getMessage().contains("rk_secret"), key.getMessage());
  }

  private static final com.google.protobuf.ByteString BROKEN = com.google.protobuf.ByteString.copyFromUtf8("\u0001");

  private static StatusRuntimeException refusal() {
    return StatusProto.toStatusRuntimeException(
        Status.newBuilder()
            .setCode(Code.RESOURCE_EXHAUSTED.value())
            .setMessage("Too many calls.")
            .addDetails(
                Any.pack(
                    ErrorInfo.newBuilder()
                        .setDomain("llmrouter")
                        .setReason("RATE_LIMITED")
                        .putMetadata("limit", "free-rpm")
                        .build()))
            .addDetails(Any.pack(ErrorInfo.newBuilder().setDomain("another").setReason("PROXY").build()))
            .addDetails(
                Any.pack(
                    RetryInfo.newBuilder()
                        .setRetryDelay(com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(500_000_000))
                        .build()))
            .addDetails(
                Any.pack(
                    BadRequest.newBuilder()
                        .addFieldViolations(
                            BadRequest.FieldViolation.newBuilder().setField("chat").setDescription("missing"))
                        .build()))
            .addDetails(Any.pack(ReceiptSummary.newBuilder().setAttemptCount(2).build()))
            .build());
  }

  private Replica replica() throws Exception {
    Replica started = new Replica();
    opened.add(started);
    return started;
  }

  /** A client of these replicas, none of which is found by name. */
  private RouterClient client(ClientOptions options, Replica... replicas) {
    Replicas named = new Replicas(List.of(replicas));
    NameResolverRegistry.getDefaultRegistry().register(named);
    opened.add(() -> NameResolverRegistry.getDefaultRegistry().deregister(named));
    RouterClient router = RouterClient.connect("replicas:///all", options);
    opened.add(router);
    return router;
  }

  /** Clients hear of health when they hear of it: until then calls are served by either. */
  private static void until(RouterClient router, Predicate<Set<String>> wanted) {
    long end = System.nanoTime() + PATIENCE.toNanos();
    Set<String> seen = new HashSet<>();
    while (!wanted.test(seen)) {
      assertTrue(System.nanoTime() < end, "calls are still served by " + seen);
      seen.clear();
      for (int call = 0; call < 20; call++) {
        seen.add(router.complete("Hello").receipt().getDeployment());
      }
    }
  }

  private static List<String> sent(Replica server, String header) {
    Metadata.Key<String> key = Metadata.Key.of(header, Metadata.ASCII_STRING_MARSHALLER);
    return Arrays.asList(server.headers.stream().map(headers -> headers.get(key)).toArray(String[]::new));
  }

  private static List<String> names(com.google.protobuf.Descriptors.Descriptor message) {
    return message.getFields().stream().map(field -> field.getName()).toList();
  }

  private static int count(AnswerStream stream) {
    int events = 0;
    for (StreamCompleteResponse event : stream) {
      events += event.getEventCase().getNumber() > 0 ? 1 : 0;
    }
    return events;
  }

  private static final class Replicas extends NameResolverProvider {
    private final List<EquivalentAddressGroup> addresses;

    Replicas(List<Replica> replicas) {
      addresses =
          replicas.stream()
              .map(one -> one.address().split(":"))
              .map(parts -> new EquivalentAddressGroup(new InetSocketAddress(parts[0], Integer.parseInt(parts[1]))))
              .toList();
    }

    @Override
    public String getDefaultScheme() {
      return "replicas";
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 0;
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args arguments) {
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "all";
        }

        @Override
        public void start(Listener2 listener) {
          listener.onResult(
              ResolutionResult.newBuilder()
                  .setAddressesOrError(io.grpc.StatusOr.fromValue(addresses))
                  .build());
        }

        @Override
        public void shutdown() {}
      };
    }
  }
}
