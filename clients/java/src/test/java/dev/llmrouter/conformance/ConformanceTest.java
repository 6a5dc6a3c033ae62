package dev.llmrouter.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import dev.llmrouter.Answer;
import dev.llmrouter.AnswerStream;
import dev.llmrouter.CallSettings;
import dev.llmrouter.ClientOptions;
import dev.llmrouter.RouterClient;
import dev.llmrouter.RouterException;
import dev.llmrouter.v1.CompleteRequest;
import dev.llmrouter.v1.GetReceiptRequest;
import dev.llmrouter.v1.GetReceiptResponse;
import dev.llmrouter.v1.ListModelsResponse;
import dev.llmrouter.v1.StreamCompleteResponse;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** The golden calls of tests/conformance, through the Java client. */
class ConformanceTest {
  private static final String VARIABLE = "LLMROUTER_CONFORMANCE";

  @TestFactory
  Stream<DynamicTest> allCases() {
    String address = System.getenv(VARIABLE);
    assumeTrue(
        address != null, VARIABLE + " is not set: run `make clients-test`, or `python -m tests.conformance.serve` and set it");
    Control control = new Control(address);
    return control.cases().stream().map(name -> dynamicTest(name, () -> assertEquals(List.of(), problems(control, name))));
  }

  private static List<JsonElement> problems(Control control, String name) throws Exception {
    JsonObject begun = control.begin(name);
    String session = begun.get("session").getAsString();
    JsonElement next = begun.get("call");
    while (true) {
      JsonObject call = next.getAsJsonObject();
      ClientOptions options =
          ClientOptions.defaults().apiKey(text(call, "apiKey")).timeout(Duration.ofSeconds(20));
      try (RouterClient client = RouterClient.connect(begun.get("target").getAsString(), options)) {
        JsonObject reply = control.report(session, new Made(control, session, client, call).outcome());
        next = reply.get("call");
        if (next.isJsonNull()) {
          return reply.getAsJsonArray("problems").asList();
        }
      }
    }
  }

  /** A call, made through the client, and what came of it. */
  private record Made(Control control, String session, RouterClient client, JsonObject call, JsonObject outcome) {

    Made(Control control, String session, RouterClient client, JsonObject call) throws Exception {
      this(control, session, client, call, new JsonObject());
      try {
        make();
      } catch (RouterException failure) {
        outcome.addProperty("requestId", failure.requestId());
        outcome.add("error", told(failure));
      }
    }

    private void make() throws Exception {
      switch (text(call, "method")) {
        case "Complete" -> complete();
        case "StreamComplete" -> stream();
        case "Route" -> outcome.add("response", json(client.route(request(), settings())));
        case "GetReceipt" -> {
          String requestId = parsed(GetReceiptRequest.newBuilder()).getRequestId();
          GetReceiptResponse.Builder response = GetReceiptResponse.newBuilder();
          outcome.add("response", json(response.setReceipt(client.receipt(requestId, settings()))));
        }
        case "ListModels" -> {
          ListModelsResponse.Builder response = ListModelsResponse.newBuilder();
          outcome.add("response", json(response.addAllDeployments(client.models(settings()))));
        }
        default -> throw new IllegalArgumentException("No method of the client for " + call);
      }
    }

    private void complete() throws Exception {
      JsonObject during = call.getAsJsonObject("during");
      Answer answer;
      if (during == null) {
        answer = client.complete(request(), settings());
      } else {
        CompletableFuture<Answer> asked = client.completeAsync(request(), settings());
        control.await(session, during.get("upstreamTokens").getAsInt());
        if (text(during, "do").equals("cancel")) {
          outcome.addProperty("cancelled", asked.cancel(true));
          return;
        }
        control.drain(session);
        answer = joined(asked);
      }
      outcome.addProperty("requestId", answer.receipt().getRequestId());
      JsonObject told = new JsonObject();
      told.addProperty("text", answer.text());
      told.addProperty("finishReason", answer.finishReason().name().substring("FINISH_REASON_".length()).toLowerCase());
      told.add("message", json(answer.message()));
      told.add("receipt", json(answer.receipt()));
      outcome.add("answer", told);
    }

    private static Answer joined(CompletableFuture<Answer> asked) {
      try {
        return asked.join();
      } catch (CompletionException failure) {
        throw failure.getCause() instanceof RouterException refused ? refused : failure;
      }
    }

    private void stream() throws Exception {
      JsonObject during = call.getAsJsonObject("during");
      JsonArray events = new JsonArray();
      outcome.add("events", events);
      try (AnswerStream stream = client.stream(request(), settings())) {
        outcome.addProperty("requestId", stream.requestId());
        for (StreamCompleteResponse event : stream) {
          events.add(json(event));
          if (during == null || events.size() != during.get("events").getAsInt()) {
            continue;
          }
          if (text(during, "do").equals("cancel")) {
            outcome.addProperty("cancelled", true);
            return; // which is how a caller leaves
          }
          control.drain(session);
        }
      }
    }

    private CompleteRequest request() throws InvalidProtocolBufferException {
      return parsed(CompleteRequest.newBuilder()).build();
    }

    private <B extends Message.Builder> B parsed(B builder) throws InvalidProtocolBufferException {
      JsonFormat.parser().merge(call.get("request").toString(), builder);
      return builder;
    }

    private CallSettings settings() {
      CallSettings settings =
          CallSettings.defaults().requestId(text(call, "requestId")).traceparent(text(call, "traceparent"));
      return call.has("timeoutMs") ? settings.timeout(Duration.ofMillis(call.get("timeoutMs").getAsLong())) : settings;
    }

    private static JsonObject told(RouterException failure) throws InvalidProtocolBufferException {
      JsonObject told = new JsonObject();
      told.addProperty("code", failure.code().name());
      told.addProperty("reason", failure.reason());
      told.addProperty("message", failure.description());
      told.addProperty("retryAfterMs", failure.retryDelay().map(Duration::toMillis).orElse(null));
      told.addProperty("requestId", failure.requestId());
      JsonObject metadata = new JsonObject();
      failure.metadata().forEach(metadata::addProperty);
      told.add("metadata", metadata);
      JsonArray violations = new JsonArray();
      for (RouterException.Violation bad : failure.violations()) {
        JsonObject violation = new JsonObject();
        violation.addProperty("field", bad.field());
        violation.addProperty("description", bad.description());
        violations.add(violation);
      }
      told.add("violations", violations);
      if (failure.receiptSummary().isPresent()) {
        told.add("receiptSummary", json(failure.receiptSummary().get()));
      }
      return told;
    }
  }

  private static String text(JsonObject object, String key) {
    return object.has(key) ? object.get(key).getAsString() : "";
  }

  private static JsonElement json(MessageOrBuilder message) throws InvalidProtocolBufferException {
    return JsonParser.parseString(JsonFormat.printer().print(message));
  }
}
