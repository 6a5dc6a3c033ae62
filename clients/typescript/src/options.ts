import type { ResponseFormat, Tool, ToolChoice } from "./gen/llmrouter/v1/chat_pb.js";

/** Of every call. */
export interface CallOptions {
  /** The call's deadline in milliseconds from now; by default the client's. */
  timeoutMs?: number;
  /** Ends the call when it is aborted, at the provider too. The call then fails with code `CANCELLED`. */
  signal?: AbortSignal;
  /** The call's request id, which finds its receipt; generated where absent. */
  requestId?: string;
  /** The W3C trace context to call under; by default that of OpenTelemetry's API, if it is installed. */
  traceparent?: string;
}

/** Who asks, what for, and what they wish of the routing and of the model. What is unset is the router's policy to decide. */
export interface RouteOptions extends CallOptions {
  /** Feature of the product, such as `"support_summary"`. */
  feature?: string;
  /** The user's service class, such as `"free"`. */
  tier?: string;
  taskType?: string;
  /** An opaque id of the end user. */
  user?: string;
  /** Ties turns together, for policies that keep them on one deployment. */
  conversationId?: string;
  /** A BCP 47 tag; otherwise detected. */
  language?: string;
  /** Such as `"simple"` or `"complex"`; otherwise assessed. */
  complexity?: string;
  /** Matched by rules, and in usage reports. */
  labels?: Readonly<Record<string, string>>;

  policy?: string;
  /** Overrides the policy's candidates: any deployment of this model. */
  model?: string;
  /** Overrides the policy's candidates: exactly this one. */
  deployment?: string;
  /** For the first token, in milliseconds. */
  latencyTargetMs?: number;
  /** Bounds one attempt, in 1e-9 USD. */
  maxCostNanoUsd?: bigint | number;

  maxOutputTokens?: number;
  temperature?: number;
  topP?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  seed?: bigint | number;
  stop?: string | readonly string[];
  reasoningEffort?: "none" | "minimal" | "low" | "medium" | "high";
  /** Asks for the log-probability of each token. */
  logprobs?: boolean;
  /** Asks for those of up to 20 others in its place. */
  topLogprobs?: number;

  tools?: readonly (Tool | FunctionTool)[];
  toolChoice?: "auto" | "none" | "required" | { function: { name: string } } | ToolChoice;
  responseFormat?: "text" | "json_object" | JsonSchemaFormat | ResponseFormat;
  /** Merged into the provider's request as it is. */
  extra?: Readonly<Record<string, unknown>>;
}

/** Of an answer. */
export interface CompleteOptions extends RouteOptions {
  /** Unique per logical call; generated where absent. Under one key a call is made once, and a repeat gets its answer or its receipt. */
  idempotencyKey?: string;
  /** Redeems what `route` decided. */
  decisionToken?: string;
  /**
   * Says that you handle `attemptDiscarded`, and so lets a stream that broke start anew where the policy says
   * `recovery: restart`.
   */
  acceptDiscard?: boolean;
}

/** A tool in OpenAI's shape. */
export interface FunctionTool {
  type?: "function";
  function: { name: string; description?: string; parameters?: object; strict?: boolean };
}

/** A response format in OpenAI's shape. */
export interface JsonSchemaFormat {
  type: "json_schema";
  json_schema: { name: string; schema: object; strict?: boolean };
}

/** What usage can be grouped by and limited to. */
export type Dimension =
  | "feature"
  | "tier"
  | "tenant"
  | "model"
  | "provider"
  | "key"
  | "day"
  | "experiment"
  | "arm"
  | "shadow";

/** Of a question about usage. Without `since` the current month is meant, in UTC. */
export interface UsageOptions extends CallOptions {
  groupBy?: readonly Dimension[];
  only?: Partial<Record<Dimension, string | readonly string[]>>;
  since?: Date;
  until?: Date;
}

/** Of a question about limits and budgets: for which calls. Without a `model` those of models are left out. */
export interface BudgetOptions extends CallOptions {
  feature?: string;
  tier?: string;
  model?: string;
}

/** A judgement of an answer; at least one of `score`, `thumbs`, `label` and `comment` is given. */
export interface Judgement {
  /** From 0, useless, to 1, perfect. */
  score?: number;
  thumbs?: "up" | "down";
  /** A word of your own, such as `"wrong_language"`. */
  label?: string;
  comment?: string;
  /** Who judged; a user by default. */
  source?: "user" | "reviewer" | "automatic";
  /** An opaque id of who judged: a later judgement of the same source and author replaces the earlier. */
  author?: string;
}
