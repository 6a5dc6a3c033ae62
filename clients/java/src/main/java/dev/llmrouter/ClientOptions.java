package dev.llmrouter;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** How a client connects. Immutable: each method gives another one. */
public final class ClientOptions {
  static final String API_KEY_VARIABLE = "LLMROUTER_API_KEY";

  private static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(1);

  final String apiKey;
  final ChannelCredentials credentials;
  final boolean plaintextKey;
  final Duration timeout;
  final Supplier<Map<String, String>> traceContext;
  final Consumer<ManagedChannelBuilder<?>> channel;

  private ClientOptions(
      String apiKey,
      ChannelCredentials credentials,
      boolean plaintextKey,
      Duration timeout,
      Supplier<Map<String, String>> traceContext,
      Consumer<ManagedChannelBuilder<?>> channel) {
    this.apiKey = apiKey;
    this.credentials = credentials;
    this.plaintextKey = plaintextKey;
    this.timeout = timeout;
    this.traceContext = traceContext;
    this.channel = channel;
  }

  /** The key of {@code LLMROUTER_API_KEY} in the environment, plaintext, a timeout of a minute. */
  public static ClientOptions defaults() {
    String key = System.getenv(API_KEY_VARIABLE);
    return new ClientOptions("", InsecureChannelCredentials.create(), false, DEFAULT_TIMEOUT, Map::of, builder -> {})
        .apiKey(key == null ? "" : key);
  }

  /** The key to call with; "" for none, also where the environment has one. */
  public ClientOptions apiKey(String key) {
    return new ClientOptions(
        Ids.metadataText("An API key", key), credentials, plaintextKey, timeout, traceContext, channel);
  }

  /** Encrypts, and trusts the authorities that Java trusts. */
  public ClientOptions tls() {
    return tls(TlsChannelCredentials.create());
  }

  /** Encrypts with certificates of one's own. */
  public ClientOptions tls(ChannelCredentials credentials) {
    return new ClientOptions(apiKey, credentials, plaintextKey, timeout, traceContext, channel);
  }

  /** Lets the API key travel unencrypted beyond this machine, where a proxy or mesh encrypts. */
  public ClientOptions plaintextKey() {
    return new ClientOptions(apiKey, credentials, true, timeout, traceContext, channel);
  }

  /** Bounds calls that have no deadline of their own. */
  public ClientOptions timeout(Duration timeout) {
    return new ClientOptions(apiKey, credentials, plaintextKey, positive(timeout), traceContext, channel);
  }

  /**
   * Names the current W3C trace headers, such as traceparent; asked in the calling thread, for each call. With OpenTelemetry:
   *
   * <pre>{@code
   * options.traceContext(() -> {
   *   Map<String, String> headers = new HashMap<>();
   *   GlobalOpenTelemetry.getPropagators().getTextMapPropagator().inject(Context.current(), headers, Map::put);
   *   return headers;
   * })
   * }</pre>
   */
  public ClientOptions traceContext(Supplier<Map<String, String>> headers) {
    return new ClientOptions(apiKey, credentials, plaintextKey, timeout, headers, channel);
  }

  /** Sets what gRPC's own channel builder can, after this package did. */
  public ClientOptions channel(Consumer<ManagedChannelBuilder<?>> more) {
    return new ClientOptions(apiKey, credentials, plaintextKey, timeout, traceContext, channel.andThen(more));
  }

  boolean encrypts() {
    return !(credentials instanceof InsecureChannelCredentials);
  }

  static Duration positive(Duration timeout) {
    if (timeout.isNegative() || timeout.isZero()) {
      throw new IllegalArgumentException("A timeout is more than 0, not " + timeout + ".");
    }
    return timeout;
  }
}
