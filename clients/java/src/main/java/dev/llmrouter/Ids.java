package dev.llmrouter;

import java.util.UUID;

/** Ids of calls, and what may travel as one. */
final class Ids {
  private Ids() {}

  static String made() {
    return UUID.randomUUID().toString().replace("-", "");
  }

  /** Refuses what cannot travel as gRPC metadata; the value, which may be secret, is not repeated. */
  static String metadataText(String what, String value) {
    if (value.chars().anyMatch(c -> c < ' ' || c > '~')) {
      throw new IllegalArgumentException(what + " is printable ASCII text without a line break.");
    }
    return value;
  }
}
