/** Runs the golden calls of tests/conformance through this client, and reports what it gave its user. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create, type DescMessage, fromJson, type MessageShape, toJson } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";

import { AnswerStream, Client, type CompleteOptions, RouterError } from "@llmrouter/client";
import {
  ChatSchema,
  CompleteRequestSchema,
  DeploymentSchema,
  GetReceiptRequestSchema,
  MessageSchema,
  ParametersSchema,
  ReasoningEffort,
  ReceiptSchema,
  ReceiptSummarySchema,
  RouteResponseSchema,
  StreamCompleteResponseSchema,
} from "@llmrouter/client/v1";

import { type Call, Control, type Outcome } from "./control.js";

const VARIABLE = "LLMROUTER_CONFORMANCE";
const url = process.env[VARIABLE];
const skip = url ? false : `${VARIABLE} is not set: run \`make clients-test\``;

test("golden calls", { skip }, async (golden) => {
  const control = new Control(url ?? "");
  for (const name of await control.cases()) {
    await golden.test(name, async () => {
      const begun = await control.begin(name);
      for (let call: Call | null = begun.call; call; ) {
        const client = Client.connect(begun.target, { apiKey: call.apiKey, timeoutMs: 20_000 });
        try {
          const run = new Run(control, begun.session, client, call);
          const reply = await control.report(begun.session, await run.outcome());
          call = reply.call;
          if (!call) assert.deepEqual(reply.problems, []);
        } finally {
          client.close();
        }
      }
    });
  }
});

class Run {
  readonly #abort = new AbortController();

  constructor(
    readonly control: Control,
    readonly session: string,
    readonly client: Client,
    readonly call: Call,
  ) {}

  async outcome(): Promise<Outcome> {
    const told: Outcome = {};
    try {
      await this.#make(told);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      told.requestId = error.requestId;
      if (this.#abort.signal.aborted && error.code === "CANCELLED") told.cancelled = true;
      else told.error = printedError(error);
    }
    return told;
  }

  async #make(told: Outcome): Promise<void> {
    const { client, call } = this;
    switch (call.method) {
      case "Complete":
        return this.#complete(told);
      case "StreamComplete":
        return this.#stream(told);
      case "Route":
        told.response = printed(RouteResponseSchema, await client.route(...this.#arguments()));
        return;
      case "GetReceipt": {
        const { requestId } = fromJson(GetReceiptRequestSchema, call.request);
        told.response = { receipt: printed(ReceiptSchema, await client.receipt(requestId, this.#options())) };
        return;
      }
      case "ListModels": {
        const deployments = await client.models(this.#options());
        told.response = { deployments: deployments.map((one) => printed(DeploymentSchema, one)) };
        return;
      }
      default:
        assert.fail(`no client method for ${call.method}`);
    }
  }

  async #complete(told: Outcome): Promise<void> {
    const answering = this.client.complete(...this.#arguments());
    // It may fail while the runner waits for the server.
    const settled = answering.catch(() => {});
    if (this.call.during) {
      await this.control.askFor(this.session, `wait?tokens=${this.call.during.upstreamTokens}`);
      await this.#act(this.call.during.do);
    }
    await settled;
    const answer = await answering;
    told.requestId = answer.receipt.requestId;
    told.answer = {
      text: answer.text,
      finishReason: answer.finishReason,
      message: printed(MessageSchema, answer.message),
      receipt: printed(ReceiptSchema, answer.receipt),
    };
  }

  async #stream(told: Outcome): Promise<void> {
    const { during } = this.call;
    const events: object[] = [];
    told.events = events;
    const stream: AnswerStream = this.client.stream(...this.#arguments());
    told.requestId = stream.requestId;
    for await (const { sequence, ...event } of stream) {
      events.push(printed(StreamCompleteResponseSchema, create(StreamCompleteResponseSchema, { sequence, event })));
      if (events.length !== during?.events) continue;
      if (during.do === "cancel") {
        told.cancelled = true;
        break; // which is how a caller leaves
      }
      await this.#act(during.do);
    }
  }

  async #act(what: string): Promise<void> {
    if (what === "cancel") this.#abort.abort();
    else if (what === "drain") await this.control.askFor(this.session, "drain");
    else assert.fail(`nothing to do for ${what}`);
  }

  #options() {
    const { timeoutMs, requestId, traceparent } = this.call;
    return { timeoutMs, requestId, traceparent, signal: this.#abort.signal };
  }

  /** The prompt and the options that say what the request says. */
  #arguments(): [MessageShape<typeof MessageSchema>[], CompleteOptions] {
    const { caller, chat, routing, idempotencyKey } = fromJson(CompleteRequestSchema, this.call.request);
    const { messages, tools, toolChoice, responseFormat, parameters, extraJson } = chat ?? create(ChatSchema);
    const { reasoningEffort, stop, ...sampling } = parameters ?? create(ParametersSchema);
    const choice = routing?.choice;
    const effort = ReasoningEffort[reasoningEffort]?.toLowerCase() as CompleteOptions["reasoningEffort"] | "unspecified";
    return [
      messages,
      {
        ...this.#options(),
        ...caller,
        ...sampling,
        policy: routing?.policy,
        model: choice?.case === "model" ? choice.value : undefined,
        deployment: choice?.case === "deployment" ? choice.value : undefined,
        latencyTargetMs: routing?.latencyTarget && durationMs(routing.latencyTarget),
        maxCostNanoUsd: routing?.maxCostNanoUsd,
        decisionToken: routing?.decisionToken,
        acceptDiscard: routing?.acceptDiscard,
        idempotencyKey: idempotencyKey || undefined,
        stop,
        reasoningEffort: effort === "unspecified" ? undefined : effort,
        tools,
        toolChoice,
        responseFormat,
        extra: extraJson ? (JSON.parse(extraJson) as Record<string, unknown>) : undefined,
      },
    ];
  }
}

function printedError(error: RouterError): object {
  return {
    code: error.code,
    reason: error.reason,
    message: error.message,
    metadata: error.metadata,
    retryAfterMs: error.retryDelayMs,
    violations: error.violations,
    receiptSummary: error.receiptSummary && printed(ReceiptSummarySchema, error.receiptSummary),
    requestId: error.requestId,
  };
}

function printed<D extends DescMessage>(schema: D, message: MessageShape<D>): object {
  return toJson(schema, message) as object;
}
