import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";

import { Answer } from "./answer.js";
import type { ConnectOptions } from "./channel.js";
import { chatOf, integer, named, type Prompt } from "./conversation.js";
import { AdminService } from "./gen/llmrouter/v1/admin_service_pb.js";
import { FeedbackSource, Thumbs } from "./gen/llmrouter/v1/feedback_pb.js";
import type { Deployment } from "./gen/llmrouter/v1/model_pb.js";
import { type Receipt, ReceiptSchema } from "./gen/llmrouter/v1/receipt_pb.js";
import {
  type RecordFeedbackResponse,
  type RouteResponse,
  RouterService,
} from "./gen/llmrouter/v1/router_service_pb.js";
import { type Allowance, UsageDimension, type UsageRow, UsageRowSchema } from "./gen/llmrouter/v1/usage_pb.js";
import type { BudgetOptions, CallOptions, CompleteOptions, Judgement, RouteOptions, UsageOptions } from "./options.js";
import { AnswerStream } from "./stream.js";
import { newId, type Stub, Transport } from "./transport.js";

const MAX_PAGE_SIZE = 1000;
const THUMBS = { up: Thumbs.UP, down: Thumbs.DOWN };
const SOURCES = {
  user: FeedbackSource.USER,
  reviewer: FeedbackSource.REVIEWER,
  automatic: FeedbackSource.AUTOMATIC,
};
const DIMENSIONS = {
  feature: UsageDimension.FEATURE,
  tier: UsageDimension.TIER,
  tenant: UsageDimension.TENANT,
  model: UsageDimension.MODEL,
  provider: UsageDimension.PROVIDER,
  key: UsageDimension.KEY,
  day: UsageDimension.DAY,
  experiment: UsageDimension.EXPERIMENT,
  arm: UsageDimension.ARM,
  shadow: UsageDimension.SHADOW,
};

/**
 * Calls a router; one per process is enough. Calls are repeated and balanced as the service config says that the project
 * publishes for all languages: do not wrap them in retries of your own, since the router has retried and fallen back
 * already. What fails is a `RouterError`, what cannot be sent at all a `TypeError`.
 */
export class Client {
  /** The generated stubs, for what the methods below do not cover: their calls carry the key, a deadline and a trace context too. */
  readonly router: Stub<typeof RouterService>;
  /** Keys and the audit log, for administrators. */
  readonly admin: Stub<typeof AdminService>;

  readonly #transport: Transport;

  private constructor(transport: Transport) {
    this.#transport = transport;
    this.router = transport.stub(RouterService);
    this.admin = transport.stub(AdminService);
  }

  /** A client of `host:port` or any other gRPC target; all addresses of a host are used. Nothing is sent yet. */
  static connect(address: string, options: ConnectOptions = {}): Client {
    return new Client(new Transport(address, options));
  }

  /** Ends the connections. Calls in progress are cancelled. */
  close(): void {
    this.#transport.close();
  }

  /** The whole answer at once. */
  async complete(prompt: Prompt, options: CompleteOptions = {}): Promise<Answer> {
    return new Answer(await this.router.complete(completion(prompt, options), options));
  }

  /** The answer event by event. */
  stream(prompt: Prompt, options: CompleteOptions = {}): AnswerStream {
    const { requestId = newId() } = options;
    const request = completion(prompt, options);
    const { streamComplete } = RouterService.method;
    return new AnswerStream(requestId, (left) =>
      this.#transport.stream(streamComplete, request, { ...options, requestId }, left),
    );
  }

  /** Decides only: nothing is called upstream and nothing is paid. `decisionToken` of the response redeems it. */
  async route(prompt: Prompt, options: RouteOptions = {}): Promise<RouteResponse> {
    return this.router.route(asked(prompt, options), options);
  }

  /** The full account of an earlier call, also of one that failed or was cancelled. */
  async receipt(requestId: string, options: CallOptions = {}): Promise<Receipt> {
    const { receipt } = await this.router.getReceipt({ requestId }, options);
    return receipt ?? create(ReceiptSchema);
  }

  /** All deployments that can be called, ordered by id. */
  async models(options: CallOptions = {}): Promise<Deployment[]> {
    const deployments: Deployment[] = [];
    let pageToken = "";
    do {
      const page = await this.router.listModels({ pageSize: MAX_PAGE_SIZE, pageToken }, options);
      deployments.push(...page.deployments);
      pageToken = page.nextPageToken;
    } while (pageToken);
    return deployments;
  }

  /** What was used and what it cost: all groups, the dearest first, and the total over them. */
  async usage(options: UsageOptions = {}): Promise<{ total: UsageRow; rows: UsageRow[] }> {
    const rows: UsageRow[] = [];
    const question = {
      groupBy: options.groupBy?.map((name) => named("A dimension", DIMENSIONS, name)),
      filters: Object.entries(options.only ?? {}).map(([name, values]) => ({
        dimension: named("A dimension", DIMENSIONS, name),
        values: typeof values === "string" ? [values] : [...values],
      })),
      since: options.since && timestampFromDate(options.since),
      // One end for all pages, or they would not fit together.
      until: timestampFromDate(options.until ?? new Date()),
    };
    for (let pageToken = ""; ; ) {
      const page = await this.router.queryUsage({ ...question, pageSize: MAX_PAGE_SIZE, pageToken }, options);
      rows.push(...page.rows);
      pageToken = page.nextPageToken;
      if (!pageToken) return { total: page.total ?? create(UsageRowSchema), rows };
    }
  }

  /** How the caller stands with every limit and budget that applies. */
  async budget(options: BudgetOptions = {}): Promise<Allowance[]> {
    const { feature, tier, model } = options;
    const { allowances } = await this.router.getBudget({ caller: { feature, tier }, model }, options);
    return allowances;
  }

  /** Says what somebody made of an answer; may be said again. */
  async recordFeedback(requestId: string, judged: Judgement, options: CallOptions = {}): Promise<RecordFeedbackResponse> {
    const feedback = {
      ...judged,
      thumbs: judged.thumbs && named("thumbs", THUMBS, judged.thumbs),
      source: judged.source && named("source", SOURCES, judged.source),
    };
    return this.router.recordFeedback({ requestId, feedback }, options);
  }
}

/** What `Complete` and `StreamComplete` both take. */
function completion(prompt: Prompt, options: CompleteOptions) {
  const { caller, chat, routing } = asked(prompt, options);
  const { decisionToken, acceptDiscard, idempotencyKey = newId() } = options;
  // What the transport repeats under one key is not paid for twice.
  return { caller, chat, routing: { ...routing, decisionToken, acceptDiscard }, idempotencyKey };
}

function asked(prompt: Prompt, options: RouteOptions) {
  const { feature, tier, taskType, user, conversationId, language, complexity, labels } = options;
  const { policy, model, deployment, latencyTargetMs } = options;
  if (model && deployment) throw new TypeError("Either a model or a deployment is asked for, not both");
  return {
    caller: { feature, tier, taskType, user, conversationId, language, complexity, labels: { ...labels } },
    chat: chatOf(prompt, options),
    routing: {
      policy,
      choice: deployment
        ? { case: "deployment" as const, value: deployment }
        : model
          ? { case: "model" as const, value: model }
          : { case: undefined },
      latencyTarget: latencyTargetMs === undefined ? undefined : durationFromMs(latencyTargetMs),
      maxCostNanoUsd: integer("maxCostNanoUsd", options.maxCostNanoUsd),
    },
  };
}
