package dev.llmrouter;

import dev.llmrouter.v1.CompleteResponse;
import dev.llmrouter.v1.FinishReason;
import dev.llmrouter.v1.Finished;
import dev.llmrouter.v1.Logprobs;
import dev.llmrouter.v1.Message;
import dev.llmrouter.v1.Part;
import dev.llmrouter.v1.Receipt;
import java.util.stream.Collectors;

/**
 * A verified, whole answer.
 *
 * @param message can be appended to the conversation as it is
 * @param finishReason why the model stopped
 * @param receipt what was attempted and what it cost
 * @param logprobs empty where none were asked for or its provider gave none, and of a stream, whose events have them
 */
public record Answer(Message message, FinishReason finishReason, Receipt receipt, Logprobs logprobs) {

  /** All text of the message, joined without a separator. */
  public String text() {
    return message.getPartsList().stream().map(Part::getText).collect(Collectors.joining());
  }

  static Answer of(CompleteResponse response) {
    return new Answer(response.getMessage(), response.getFinishReason(), response.getReceipt(), response.getLogprobs());
  }

  static Answer of(Finished finished) {
    return new Answer(
        finished.getMessage(), finished.getFinishReason(), finished.getReceipt(), Logprobs.getDefaultInstance());
  }
}
