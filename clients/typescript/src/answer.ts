import { create } from "@bufbuild/protobuf";

import { textOf } from "./conversation.js";
import { FinishReason as Reason, type Logprobs, type Message, MessageSchema } from "./gen/llmrouter/v1/chat_pb.js";
import { type Receipt, ReceiptSchema } from "./gen/llmrouter/v1/receipt_pb.js";

/** Why the model stopped. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** A verified, whole answer. */
export class Answer {
  /** As it can be appended to a conversation. */
  readonly message: Message;
  readonly finishReason: FinishReason;
  /** Who answered, how it came to that, and what it cost. */
  readonly receipt: Receipt;
  /** Undefined where none were asked for, or the provider gave none; in streams they are events. */
  readonly logprobs: Logprobs | undefined;

  constructor(got: { message?: Message; finishReason: Reason; receipt?: Receipt; logprobs?: Logprobs }) {
    this.message = got.message ?? create(MessageSchema);
    this.finishReason = (Reason[got.finishReason] ?? "unknown").toLowerCase() as FinishReason;
    this.receipt = got.receipt ?? create(ReceiptSchema);
    this.logprobs = got.logprobs;
  }

  /** All text of the message, joined without a separator. */
  get text(): string {
    return textOf(this.message);
  }
}
