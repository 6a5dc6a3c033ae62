export { Answer, type FinishReason } from "./answer.js";
export type { ConnectOptions } from "./channel.js";
export { Client } from "./client.js";
export type { ChatMessage, FunctionCall, ImagePart, Prompt, TextPart } from "./conversation.js";
export { RouterError, type StatusCode, type Violation } from "./errors.js";
export type {
  BudgetOptions,
  CallOptions,
  CompleteOptions,
  Dimension,
  FunctionTool,
  JsonSchemaFormat,
  Judgement,
  RouteOptions,
  UsageOptions,
} from "./options.js";
export { AnswerStream, type StreamEvent } from "./stream.js";
export type { Stub } from "./transport.js";
