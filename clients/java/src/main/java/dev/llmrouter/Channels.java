package dev.llmrouter;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Opens channels as the project wants them. */
final class Channels {
  private static final int MEBIBYTE = 1 << 20;
  private static final Pattern TARGET = Pattern.compile("(?:(?:dns|passthrough):(?://[^/]*/)?/?)?(?:\\[(.+)]|([^:/]+)):\\d+");
  private static final Pattern LOOPBACK = Pattern.compile("localhost|127\\.\\d+\\.\\d+\\.\\d+|::1");

  private Channels() {}

  static ManagedChannel open(String target, ClientOptions options) {
    if (!options.apiKey.isEmpty() && !options.encrypts() && !options.plaintextKey && !isLocal(target)) {
      throw new IllegalArgumentException(
          "The API key would travel unencrypted to " + target + ": speak TLS (ClientOptions.tls), or allow it with plaintextKey"
              + " where a proxy or mesh here encrypts.");
    }
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(target, options.credentials)
            .defaultServiceConfig(serviceConfig())
            .userAgent("llmrouter-java/" + version())
            .maxInboundMessageSize(16 * MEBIBYTE)
            .perRpcBufferLimit(8 * MEBIBYTE) // so that the largest request can be repeated
            // Servers end a connection that pings more than twice within five silent minutes.
            .keepAliveTime(2, TimeUnit.MINUTES)
            .keepAliveTimeout(20, TimeUnit.SECONDS);
    options.channel.accept(builder);
    return builder.build();
  }

  /** Whether a target is on this machine for certain. */
  static boolean isLocal(String target) {
    if (target.startsWith("unix:") || target.startsWith("unix-abstract:")) {
      return true;
    }
    Matcher matcher = TARGET.matcher(target);
    if (!matcher.matches()) {
      return false;
    }
    String host = matcher.group(1) != null ? matcher.group(1) : matcher.group(2);
    return LOOPBACK.matcher(host).matches();
  }

  private static Map<String, Object> serviceConfig() {
    try (Reader text = new InputStreamReader(resource("service_config.json"), StandardCharsets.UTF_8)) {
      return new Gson().fromJson(text, new TypeToken<Map<String, Object>>() {});
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  private static String version() {
    Properties properties = new Properties();
    try (InputStream text = resource("client.properties")) {
      properties.load(text);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
    return properties.getProperty("version");
  }

  private static InputStream resource(String name) {
    return Channels.class.getResourceAsStream(name);
  }
}
