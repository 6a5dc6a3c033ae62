/** Prompts, tools and formats as people write them, turned into the API's messages. Limits and ranges are the router's to check. */

import { create, isMessage, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type Chat,
  ChatSchema,
  type Message,
  MessageSchema,
  type Part,
  PartSchema,
  ReasoningEffort,
  type ResponseFormat,
  ResponseFormatSchema,
  Role,
  type Tool,
  ToolChoice_Mode,
  ToolChoiceSchema,
  type ToolCall,
  ToolCallSchema,
  ToolSchema,
} from "./gen/llmrouter/v1/chat_pb.js";
import type { FunctionTool, RouteOptions } from "./options.js";

/** One user message, or a conversation, oldest message first. */
export type Prompt = string | readonly (Message | ChatMessage)[];

/** A message in OpenAI's shape. An answer's `message` is the API's own, and can be in a conversation as it is. */
export interface ChatMessage {
  role: keyof typeof ROLES;
  content?: string | readonly (Part | TextPart | ImagePart)[] | null;
  name?: string;
  tool_calls?: readonly (ToolCall | FunctionCall)[];
  tool_call_id?: string;
}

export interface TextPart {
  type: "text";
  text: string;
}

/** An image by https URL, or as a data URL: `data:image/png;base64,...`. */
export interface ImagePart {
  type: "image_url";
  image_url: { url: string; detail?: "auto" | "low" | "high" };
}

export interface FunctionCall {
  id: string;
  type?: "function";
  /** `arguments` are JSON text. */
  function: { name: string; arguments: string };
}

const ROLES = {
  system: Role.SYSTEM,
  developer: Role.SYSTEM,
  user: Role.USER,
  assistant: Role.ASSISTANT,
  tool: Role.TOOL,
};
const MODES = { auto: ToolChoice_Mode.AUTO, none: ToolChoice_Mode.NONE, required: ToolChoice_Mode.REQUIRED };
const EFFORTS = {
  none: ReasoningEffort.NONE,
  minimal: ReasoningEffort.MINIMAL,
  low: ReasoningEffort.LOW,
  medium: ReasoningEffort.MEDIUM,
  high: ReasoningEffort.HIGH,
};
const DATA_URL = /^data:([^;,]*);base64,([A-Za-z0-9+/]*={0,2})$/;

/** All text of a message, joined without a separator. */
export function textOf(message: Message): string {
  return message.parts.map(({ content }) => (content.case === "text" ? content.value : "")).join("");
}

/** The chat to send. Throws a `TypeError` for what cannot be sent. */
export function chatOf(prompt: Prompt, options: RouteOptions): Chat {
  return create(ChatSchema, {
    messages: messagesOf(prompt),
    tools: options.tools?.map(toolOf),
    toolChoice: toolChoiceOf(options.toolChoice),
    responseFormat: responseFormatOf(options.responseFormat),
    parameters: {
      maxOutputTokens: options.maxOutputTokens,
      temperature: options.temperature,
      topP: options.topP,
      frequencyPenalty: options.frequencyPenalty,
      presencePenalty: options.presencePenalty,
      seed: integer("seed", options.seed),
      stop: typeof options.stop === "string" ? [options.stop] : [...(options.stop ?? [])],
      reasoningEffort: options.reasoningEffort && named("reasoningEffort", EFFORTS, options.reasoningEffort),
      logprobs: options.logprobs,
      topLogprobs: options.topLogprobs,
    },
    extraJson: options.extra && JSON.stringify(options.extra),
  });
}

/** A whole number as protobuf wants it, also of one that JavaScript's `number` holds exactly. */
export function integer(what: string, value: bigint | number | undefined): bigint | undefined {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new TypeError(`${what} is a whole number, as a bigint beyond 2^53, not ${value}`);
  }
  return value === undefined ? undefined : BigInt(value);
}

/** The value under a name, for callers whose types are not checked. */
export function named<T>(what: string, known: Readonly<Record<string, T>>, name: string): T {
  const value = Object.hasOwn(known, name) ? known[name] : undefined;
  if (value === undefined) {
    throw new TypeError(`${what} is one of ${Object.keys(known).join(", ")}, not ${JSON.stringify(name)}`);
  }
  return value;
}

function messagesOf(prompt: Prompt): Message[] {
  if (typeof prompt === "string") return [messageOf({ role: "user", content: prompt })];
  if (!Array.isArray(prompt)) throw new TypeError("A prompt is text or an array of messages");
  return prompt.map(messageOf);
}

function messageOf(given: Message | ChatMessage): Message {
  if (isMessage(given, MessageSchema)) return given;
  const { role, content, name, tool_calls, tool_call_id } = given as ChatMessage;
  return create(MessageSchema, {
    role: named("A message's role", ROLES, role),
    parts: typeof content === "string" ? [textPart(content)] : content?.map(partOf),
    name,
    toolCalls: tool_calls?.map(toolCallOf),
    toolCallId: tool_call_id,
  });
}

function partOf(given: Part | TextPart | ImagePart): Part {
  if (isMessage(given, PartSchema)) return given;
  const part = given as TextPart | ImagePart;
  if (part.type === "text") return textPart(part.text);
  if (part.type !== "image_url") {
    throw new TypeError('A part is { type: "text", text } or { type: "image_url", image_url: { url } }');
  }
  const { url, detail } = part.image_url;
  return create(PartSchema, { content: { case: "image", value: { ...imageSource(url), detail } } });
}

function textPart(text: string): Part {
  return create(PartSchema, { content: { case: "text", value: text } });
}

function imageSource(url: string) {
  if (!url.startsWith("data:")) return { source: { case: "url" as const, value: url } };
  const [, mediaType, data] = DATA_URL.exec(url) ?? [];
  if (data === undefined) throw new TypeError("An image's data URL looks like data:image/png;base64,...");
  return { source: { case: "data" as const, value: new Uint8Array(Buffer.from(data, "base64")) }, mediaType };
}

function toolCallOf(given: ToolCall | FunctionCall): ToolCall {
  if (isMessage(given, ToolCallSchema)) return given;
  const call = given as FunctionCall;
  return create(ToolCallSchema, { id: call.id, name: call.function.name, argumentsJson: call.function.arguments });
}

function toolOf(given: Tool | FunctionTool): Tool {
  if (isMessage(given, ToolSchema)) return given;
  const { name, description, parameters, strict } = (given as FunctionTool).function;
  return create(ToolSchema, { name, description, parametersJson: parameters && JSON.stringify(parameters), strict });
}

function toolChoiceOf(given: RouteOptions["toolChoice"]): MessageInitShape<typeof ToolChoiceSchema> | undefined {
  if (given === undefined || isMessage(given, ToolChoiceSchema)) return given;
  return typeof given === "string"
    ? { choice: { case: "mode", value: named("toolChoice", MODES, given) } }
    : { choice: { case: "function", value: given.function.name } };
}

function responseFormatOf(given: RouteOptions["responseFormat"]): ResponseFormat | undefined {
  if (given === undefined || isMessage(given, ResponseFormatSchema)) return given;
  if (given === "text") return create(ResponseFormatSchema, { format: { case: "text", value: {} } });
  if (given === "json_object") return create(ResponseFormatSchema, { format: { case: "jsonObject", value: {} } });
  if (typeof given === "string" || given.type !== "json_schema") {
    throw new TypeError('responseFormat is "text", "json_object" or { type: "json_schema", json_schema: { name, schema } }');
  }
  const { name, schema, strict } = given.json_schema;
  const value = { name, schemaJson: JSON.stringify(schema), strict };
  return create(ResponseFormatSchema, { format: { case: "jsonSchema", value } });
}
