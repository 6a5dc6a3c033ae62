package dev.llmrouter;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message.Builder;
import com.google.protobuf.MessageOrBuilder;
import dev.llmrouter.v1.Chat;
import dev.llmrouter.v1.CompleteRequest;
import dev.llmrouter.v1.CompleteRequestOrBuilder;
import dev.llmrouter.v1.Message;
import dev.llmrouter.v1.Part;
import dev.llmrouter.v1.Role;
import dev.llmrouter.v1.StreamCompleteRequest;
import java.util.List;

/**
 * What is asked: a chat, who asks and what for, and what they wish of the routing.
 *
 * <p>A request is the API's message; the same serves {@code complete}, {@code stream} and {@code route}. Without an idempotency
 * key each call gets one of its own.
 */
public final class Requests {
  private Requests() {}

  /** A request with one user message. */
  public static CompleteRequest.Builder ask(String prompt) {
    return chat(user(prompt));
  }

  /** A request with a conversation, oldest message first. An {@link Answer#message()} can be among them as it is. */
  public static CompleteRequest.Builder chat(Message... messages) {
    return CompleteRequest.newBuilder().setChat(Chat.newBuilder().addAllMessages(List.of(messages)));
  }

  /** The operator's instruction. */
  public static Message system(String text) {
    return said(Role.ROLE_SYSTEM, text).build();
  }

  /** What the person or program asks. */
  public static Message user(String text) {
    return said(Role.ROLE_USER, text).build();
  }

  /** What the model answered earlier. */
  public static Message assistant(String text) {
    return said(Role.ROLE_ASSISTANT, text).build();
  }

  /** The answer to a tool call of the message before. */
  public static Message toolResult(String toolCallId, String text) {
    return said(Role.ROLE_TOOL, text).setToolCallId(toolCallId).build();
  }

  private static Message.Builder said(Role role, String text) {
    return Message.newBuilder().setRole(role).addParts(Part.newBuilder().setText(text));
  }

  /** With an idempotency key: a repeat by the transport is then not paid for twice. */
  static CompleteRequest keyed(CompleteRequestOrBuilder request) {
    CompleteRequest.Builder keyed = copied(request, CompleteRequest.newBuilder());
    return keyed.getIdempotencyKey().isEmpty() ? keyed.setIdempotencyKey(Ids.made()).build() : keyed.build();
  }

  /** The same for a stream. */
  static StreamCompleteRequest keyed(StreamCompleteRequest.Builder request) {
    return request.getIdempotencyKey().isEmpty() ? request.setIdempotencyKey(Ids.made()).build() : request.build();
  }

  /** Sets the fields that the messages share. */
  static <B extends Builder> B copied(MessageOrBuilder request, B builder) {
    request
        .getAllFields()
        .forEach(
            (field, value) -> {
              FieldDescriptor same = builder.getDescriptorForType().findFieldByName(field.getName());
              if (same != null) {
                builder.setField(same, value);
              }
            });
    return builder;
  }
}
