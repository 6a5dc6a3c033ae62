package dev.llmrouter.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.stream.StreamSupport;

/** The server of tests/conformance, whose README.md says what it answers. */
record Control(URI address, HttpClient http) {

  Control(String address) {
    this(URI.create(address), HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build());
  }

  List<String> cases() {
    return StreamSupport.stream(ask("GET", "/cases", "", null).getAsJsonArray().spliterator(), false)
        .map(one -> one.getAsJsonObject().get("name").getAsString())
        .toList();
  }

  /** The session, the router's address and the first call. */
  JsonObject begin(String name) {
    return ask("POST", "/cases/" + name, null, new JsonObject()).getAsJsonObject();
  }

  /** What is wrong so far, and the next call. */
  JsonObject report(String session, JsonObject outcome) {
    return ask("POST", "/sessions/" + session + "/outcome", null, outcome).getAsJsonObject();
  }

  void drain(String session) {
    ask("POST", "/sessions/" + session + "/drain", null, new JsonObject());
  }

  void await(String session, int tokens) {
    ask("POST", "/sessions/" + session + "/wait", "tokens=" + tokens, new JsonObject());
  }

  private JsonElement ask(String method, String path, String query, JsonObject body) {
    try {
      URI there = new URI(address.getScheme(), address.getAuthority(), path, query, null);
      HttpRequest request =
          HttpRequest.newBuilder(there)
              .method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body.toString()))
              .build();
      HttpResponse<String> response = http.send(request, BodyHandlers.ofString());
      if (response.statusCode() != 200) {
        throw new IllegalStateException("%s %s: %d %s".formatted(method, path, response.statusCode(), response.body()));
      }
      return JsonParser.parseString(response.body());
    } catch (IOException | URISyntaxException | InterruptedException failure) {
      throw new IllegalStateException(method + " " + path, failure);
    }
  }
}
