import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

import { type TextMapPropagator, propagation } from "@opentelemetry/api";
import * as grpc from "@grpc/grpc-js";

import { Client, type ConnectOptions, RouterError } from "@llmrouter/client";

import { type Arrived, type Behaviour, Replica } from "./replica.js";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function one(context: TestContext, behave: (arrived: Arrived) => Behaviour = () => ({}), options: ConnectOptions = {}) {
  const replica = await Replica.start(context, behave);
  return { replica, router: connected(context, replica.address, options) };
}

function connected(context: TestContext, address: string, options: ConnectOptions = {}): Client {
  const router = Client.connect(address, { apiKey: "", timeoutMs: 20_000, ...options });
  context.after(() => router.close());
  return router;
}

async function failure(promise: Promise<unknown>): Promise<RouterError> {
  const error: unknown = await promise.then(
    () => assert.fail("it did not fail"),
    (reason: unknown) => reason,
  );
  assert(error instanceof RouterError, String(error));
  return error;
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = [];
  for await (const value of values) read.push(value);
  return read;
}

test("calls carry a key, a request id, a deadline and an idempotency key", async (context) => {
  const { replica, router } = await one(context, undefined, { apiKey: "rk_one", timeoutMs: 7_000 });
  await router.complete("Hello");
  await router.complete("Hello", { requestId: "order-1", idempotencyKey: "once", timeoutMs: 3_000, traceparent: TRACEPARENT });
  await all(router.stream("Hello"));
  const [first, second, third] = replica.arrived as [Arrived, Arrived, Arrived];
  assert.equal(first.header("authorization"), "Bearer rk_one");
  assert.match(first.header("user-agent") ?? "", /^llmrouter-typescript\/\d+\.\d+\.\d+ /);
  assert(first.timeoutMs > 3_000 && first.timeoutMs <= 7_000, `${first.timeoutMs} ms`);
  assert.equal(first.header("traceparent"), undefined);
  assert.equal(second.header("x-request-id"), "order-1");
  assert.equal(second.header("traceparent"), TRACEPARENT);
  assert.equal(second.request.idempotencyKey, "once");
  assert(second.timeoutMs <= 3_000, `${second.timeoutMs} ms`);
  assert.equal(new Set(replica.arrived.map(({ request }) => request.idempotencyKey)).size, 3);
  assert.equal(new Set(replica.arrived.map(({ header }) => header("x-request-id"))).size, 3);
  assert.notEqual(third.request.idempotencyKey, "");
});

test("calls are made under OpenTelemetry's context, unless one is given", async (context) => {
  const { replica, router } = await one(context);
  const current: TextMapPropagator = {
    inject: (_, carrier, setter) => setter.set(carrier, "traceparent", "00-current"),
    extract: (given) => given,
    fields: () => ["traceparent"],
  };
  propagation.setGlobalPropagator(current);
  context.after(() => propagation.disable());
  await router.complete("Hello");
  await router.complete("Hello", { traceparent: TRACEPARENT });
  assert.deepEqual(
    replica.arrived.map(({ header }) => header("traceparent")),
    ["00-current", TRACEPARENT],
  );
});

test("options and messages in OpenAI's shape become the API's", async (context) => {
  const { replica, router } = await one(context);
  await router.route(
    [
      { role: "developer", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "What is this?" },
          { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw==", detail: "low" } },
          { type: "image_url", image_url: { url: "https://example.com/a.png" } },
        ],
      },
      { role: "assistant", content: null, tool_calls: [{ id: "c1", function: { name: "look", arguments: "{}" } }] },
      { role: "tool", tool_call_id: "c1", content: "A cat." },
    ],
    {
      feature: "chat_reply",
      labels: { team: "a" },
      model: "gpt-4o",
      latencyTargetMs: 1_500,
      maxCostNanoUsd: 5_000_000,
      seed: 9n,
      stop: "END",
      temperature: 0,
      reasoningEffort: "low",
      tools: [{ type: "function", function: { name: "look", parameters: { type: "object" } } }],
      toolChoice: { function: { name: "look" } },
      responseFormat: { type: "json_schema", json_schema: { name: "seen", schema: { type: "object" }, strict: true } },
      extra: { verbosity: "low" },
    },
  );
  const { caller, chat, routing } = (replica.arrived[0] as Arrived).request;
  const [system, user, assistant, tool] = chat.messages;
  assert.deepEqual([caller.feature, caller.labels], ["chat_reply", { team: "a" }]);
  assert.deepEqual([system.role, system.parts[0].content.value], [1, "Be brief."]);
  const [text, inline, linked] = user.parts.map((part: { content: { value: unknown } }) => part.content.value);
  assert.equal(text, "What is this?");
  assert.deepEqual([inline.mediaType, inline.detail, [...inline.source.value]], ["image/png", "low", [137, 80, 78, 71]]);
  assert.equal(linked.source.value, "https://example.com/a.png");
  assert.deepEqual([assistant.parts, assistant.toolCalls[0].argumentsJson], [[], "{}"]);
  assert.deepEqual([tool.role, tool.toolCallId], [4, "c1"]);
  assert.deepEqual(routing.choice, { case: "model", value: "gpt-4o" });
  assert.deepEqual([routing.latencyTarget.seconds, routing.latencyTarget.nanos], [1n, 500_000_000]);
  assert.equal(routing.maxCostNanoUsd, 5_000_000n);
  assert.deepEqual([chat.parameters.seed, chat.parameters.stop, chat.parameters.temperature], [9n, ["END"], 0]);
  assert.equal(chat.parameters.reasoningEffort, 3);
  assert.equal(chat.parameters.topP, undefined);
  assert.equal(chat.tools[0].parametersJson, '{"type":"object"}');
  assert.deepEqual(chat.toolChoice.choice, { case: "function", value: "look" });
  assert.equal(chat.responseFormat.format.value.schemaJson, '{"type":"object"}');
  assert.equal(chat.extraJson, '{"verbosity":"low"}');
});

const EVENTS = [
  { sequence: 1n, event: { case: "decision", value: {} } },
  { sequence: 2n }, // newer than any client
  { sequence: 3n, event: { case: "textDelta", value: { attempt: 1, text: "Hel" } } },
  { sequence: 4n, event: { case: "textDelta", value: { attempt: 1, text: "lo" } } },
];
const FINISHED = {
  sequence: 5n,
  event: {
    case: "finished",
    value: {
      message: { parts: [{ content: { case: "text", value: "Hello" } }] },
      finishReason: 1,
      receipt: { costNanoUsd: 12n },
    },
  },
};

test("a stream is read as events or as text, once", async (context) => {
  const { router } = await one(context, () => ({ messages: [...EVENTS, FINISHED] }));
  const events = await all(router.stream("Hello"));
  assert.deepEqual(
    events.map((event) => [event.case, event.sequence]),
    [["decision", 1n], ["textDelta", 3n], ["textDelta", 4n], ["finished", 5n]],
  );
  const stream = router.stream("Hello");
  assert.deepEqual([stream.answer, stream.finished], [undefined, undefined]);
  assert.deepEqual(await all(stream.text()), ["Hel", "lo"]);
  assert.deepEqual([stream.answer?.text, stream.answer?.finishReason, stream.answer?.receipt.costNanoUsd], ["Hello", "stop", 12n]);
  await assert.rejects(all(stream), /read already/);
});

test("breaking out of a stream ends the call", async (context) => {
  const { replica, router } = await one(context, () => ({ messages: EVENTS, stay: true }));
  const left = replica.left();
  for await (const text of router.stream("Hello").text()) {
    assert.equal(text, "Hel");
    break;
  }
  await left;
});

test("breaking out of the stub's stream ends the call too", async (context) => {
  const { replica, router } = await one(context, () => ({ messages: EVENTS, stay: true }));
  const left = replica.left();
  for await (const { sequence } of router.router.streamComplete({})) if (sequence === 4n) break;
  await left;
});

for (const read of ["events", "text"] as const) {
  test(`returning while the next of a stream's ${read} is awaited ends the call at once`, async (context) => {
    const { replica, router } = await one(context, () => ({ messages: EVENTS, stay: true }));
    const stream = router.stream("Hello");
    const iterator = read === "text" ? stream.text() : stream[Symbol.asyncIterator]();
    for (let count = read === "text" ? 2 : 3; count > 0; count--) await iterator.next();
    const left = replica.left();
    const pending = iterator.next();
    await iterator.return();
    assert.deepEqual(await pending, { done: true, value: undefined });
    await left;
  });
}

test("aborting ends a stream and tells why", async (context) => {
  const { replica, router } = await one(context, () => ({ messages: EVENTS, stay: true }));
  const abort = new AbortController();
  const stream = router.stream("Hello", { signal: abort.signal });
  const left = replica.left();
  const error = await failure(
    (async () => {
      for await (const event of stream) if (event.sequence === 4n) abort.abort("enough");
    })(),
  );
  assert.deepEqual([error.code, error.cause, error.requestId], ["CANCELLED", "enough", stream.requestId]);
  await left;
});

test("aborting ends a call, also before it is sent", async (context) => {
  const { replica, router } = await one(context, () => ({ stay: true }));
  const abort = new AbortController();
  const called = replica.called();
  const failed = failure(router.complete("Hello", { signal: abort.signal, requestId: "r-1" }));
  await called;
  const left = replica.left();
  abort.abort();
  const error = await failed;
  assert.deepEqual([error.code, error.requestId, error.cause], ["CANCELLED", "r-1", abort.signal.reason]);
  await left;
  assert.equal((await failure(router.complete("Hello", { signal: abort.signal }))).code, "CANCELLED");
  assert.equal((await failure(all(router.stream("Hello", { signal: abort.signal })))).code, "CANCELLED");
  assert.equal(replica.arrived.length, 1);
});

test("closing ends calls in progress and refuses others", async (context) => {
  const { replica, router } = await one(context, () => ({ messages: EVENTS, stay: true }));
  const called = replica.called();
  const unary = failure(router.complete("Hello"));
  await called;
  const streamed = failure(
    (async () => {
      for await (const event of router.stream("Hello")) if (event.sequence === 4n) router.close();
    })(),
  );
  assert.deepEqual([(await unary).code, (await streamed).code], ["CANCELLED", "CANCELLED"]);
  await assert.rejects(router.complete("Hello"), /client is closed/);
});

test("a silent router is left when the deadline passes", async (context) => {
  const { router } = await one(context, () => ({ stay: true }));
  const options = { timeoutMs: 50 };
  assert.equal((await failure(router.complete("Hello", options))).code, "DEADLINE_EXCEEDED");
  assert.equal((await failure(all(router.stream("Hello", options)))).code, "DEADLINE_EXCEEDED");
});

test("a status without details, or with unreadable ones, is an error all the same", async (context) => {
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff]));
  const { router } = await one(context, ({ request }) =>
    request.chat.messages.length > 1
      ? { status: { code: grpc.status.INTERNAL, details: "a proxy", metadata } }
      : { status: { code: grpc.status.NOT_FOUND, details: "gone" } },
  );
  const plain = await failure(router.complete("Hello"));
  assert.deepEqual([plain.code, plain.message, plain.reason, plain.retryDelayMs], ["NOT_FOUND", "gone", "", undefined]);
  assert.equal(String(plain), `RouterError: NOT_FOUND: gone (request ${plain.requestId})`);
  const turn = { role: "user", content: "Hello" } as const;
  const broken = await failure(router.complete([turn, turn]));
  assert.deepEqual([broken.code, broken.message, broken.violations], ["INTERNAL", "a proxy", []]);
  assert.equal(broken.name, "RouterError");
});

test("calls go to all replicas in turn, and from one that refuses to the next", async (context) => {
  const draining = await Replica.start(context, () => ({ status: { code: grpc.status.UNAVAILABLE, details: "draining" } }));
  const serving = await Replica.start(context, () => ({ messages: [{ receipt: { deployment: "d" } }] }));
  const router = connected(context, `ipv4:${draining.address},${serving.address}`);
  for (let count = 0; count < 6; count++) {
    assert.equal((await router.complete("Hello")).receipt.deployment, "d");
  }
  assert(draining.arrived.length > 0, "nothing went to the other replica");
  const keys = new Set([...draining.arrived, ...serving.arrived].map(({ request }) => request.idempotencyKey));
  assert.equal(keys.size, 6, "a repeat has the key of its call");
});

test("no replica is asked for its health, which grpc-js does not know", async (context) => {
  // When this fails, a newer grpc-js does ask: say so in README.md and docs/clients.md.
  const { replica, router } = await one(context);
  for (let count = 0; count < 3; count++) await router.complete("Hello");
  assert.deepEqual(replica.others, []);
});

test("what a provider was asked for is not repeated", async (context) => {
  const metadata = new grpc.Metadata();
  metadata.set("grpc-retry-pushback-ms", "-1");
  const { replica, router } = await one(context, () => ({ status: { code: grpc.status.UNAVAILABLE, metadata } }));
  assert.equal((await failure(router.complete("Hello"))).code, "UNAVAILABLE");
  assert.equal(replica.arrived.length, 1);
});

test("usage is asked for page by page, up to one time", async (context) => {
  const { replica, router } = await one(context, ({ request }) => ({
    messages: [
      request.pageToken
        ? { rows: [{ calls: 2n }], total: { calls: 3n } }
        : { rows: [{ calls: 1n }], total: { calls: 3n }, nextPageToken: "more" },
    ],
  }));
  const since = new Date("2026-11-01T00:00:00Z");
  const usage = await router.usage({ groupBy: ["feature", "model"], only: { tier: "free", key: ["a", "b"] }, since });
  assert.deepEqual([usage.total.calls, usage.rows.map(({ calls }) => calls)], [3n, [1n, 2n]]);
  const [first, second] = replica.arrived.map(({ request }) => request);
  assert.deepEqual(first.groupBy, [1, 4]);
  assert.deepEqual(
    first.filters.map((filter: { dimension: number; values: string[] }) => [filter.dimension, filter.values]),
    [[2, ["free"]], [6, ["a", "b"]]],
  );
  assert.equal(first.since.seconds, BigInt(since.getTime() / 1000));
  assert(first.until.seconds > first.since.seconds);
  assert.deepEqual(first.until, second.until);
});

test("budgets are asked for and feedback is given", async (context) => {
  const { replica, router } = await one(context, ({ method }) => ({
    messages: [method === "GetBudget" ? { allowances: [{ name: "month", used: 5n }] } : { model: "gpt-4o" }],
  }));
  assert.equal((await router.budget({ feature: "chat_reply", model: "gpt-4o" }))[0]?.used, 5n);
  const given = await router.recordFeedback("r-1", { score: 0, thumbs: "down", source: "reviewer" }, { timeoutMs: 5_000 });
  assert.equal(given.model, "gpt-4o");
  const [asked, judged] = replica.arrived.map(({ request }) => request);
  assert.deepEqual([asked.caller.feature, asked.model], ["chat_reply", "gpt-4o"]);
  const { requestId, feedback } = judged;
  assert.deepEqual([requestId, feedback.score, feedback.thumbs, feedback.source], ["r-1", 0, 2, 2]);
});

test("a key travels in plaintext to this machine only, unless told", () => {
  const apiKey = "rk_secret";
  for (const local of ["localhost:1", "127.0.0.2:1", "[::1]:1", "dns:///127.0.0.1:1", "dns:localhost:1", "unix:/run/router", "ipv4:127.0.0.1:1,127.0.0.1:2"]) {
    Client.connect(local, { apiKey }).close();
  }
  for (const remote of ["router.example:1", "10.0.0.1:1", "localhost.example:1", "dns://127.0.0.1/router.example:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "[::2]:1"]) {
    assert.throws(() => Client.connect(remote, { apiKey }), (error: Error) => /unencrypted/.test(error.message) && !error.message.includes(apiKey), remote);
    Client.connect(remote, { apiKey: "" }).close();
    Client.connect(remote, { apiKey, tls: true }).close();
    Client.connect(remote, { apiKey, plaintextKey: true }).close();
  }
});

test("what stays on this machine goes through no proxy", async (context) => {
  process.env["grpc_proxy"] = "http://127.0.0.1:9";
  context.after(() => delete process.env["grpc_proxy"]);
  const { router } = await one(context, undefined, { apiKey: "rk_one" });
  await router.complete("Hello", { timeoutMs: 5_000 });
});

test("the key of the environment counts, unless one is given", async (context) => {
  process.env["LLMROUTER_API_KEY"] = "rk_environment";
  context.after(() => delete process.env["LLMROUTER_API_KEY"]);
  const { replica, router } = await one(context, undefined, { apiKey: undefined });
  await router.complete("Hello");
  await connected(context, replica.address, { apiKey: "" }).complete("Hello");
  assert.deepEqual(
    replica.arrived.map(({ header }) => header("authorization")),
    ["Bearer rk_environment", undefined],
  );
});

test("the connection is encrypted where told, and the certificate checked", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "llmrouter-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", cert, ...names], { stdio: "ignore" });
  const ca = readFileSync(cert, "utf8");
  const pair = { private_key: readFileSync(key), cert_chain: Buffer.from(ca) };
  const replica = await Replica.start(context, () => ({}), grpc.ServerCredentials.createSsl(null, [pair]));
  const address = replica.address.replace("127.0.0.1", "localhost");
  await connected(context, address, { tls: { ca } }).complete("Hello");
  const refused = await failure(connected(context, address, { tls: true }).complete("Hello", { timeoutMs: 2_000 }));
  assert.match(refused.code, /UNAVAILABLE|DEADLINE_EXCEEDED/);
  assert.equal(replica.arrived.length, 1);
});

test("all generated messages of the API are exported", () => {
  const v1 = new URL(import.meta.resolve("@llmrouter/client/v1"));
  const exported = [...readFileSync(v1, "utf8").matchAll(/gen\/llmrouter\/v1\/(\w+\.js)/g)].map(([, file]) => file);
  const generated = readdirSync(new URL("gen/llmrouter/v1", v1)).filter((file) => file.endsWith(".js"));
  assert.deepEqual(exported.sort(), generated.sort());
});

test("mistakes are told before a call", async (context) => {
  const { replica, router } = await one(context);
  assert.throws(() => Client.connect("localhost"), /host:port, such as 127.0.0.1:50051, not "localhost"/);
  assert.throws(() => Client.connect("http://localhost:1"), TypeError);
  assert.throws(() => Client.connect("localhost:1", { timeoutMs: 0 }), /more than 0/);
  assert.throws(
    () => Client.connect("localhost:1", { apiKey: "rk_a\nb" }),
    (error: Error) => error instanceof TypeError && !error.message.includes("rk_a"),
  );
  const calls: [Parameters<Client["complete"]>, RegExp][] = [
    [["Hello", { timeoutMs: -1 }], /more than 0/],
    [["Hello", { requestId: "ü" }], /x-request-id is printable ASCII/],
    [["Hello", { model: "a", deployment: "b" }], /not both/],
    [["Hello", { maxOutputTokens: 1.5 }], /max_output_tokens/],
    [["Hello", { seed: 1.5 }], /seed is a whole number/],
    [["Hello", { toolChoice: "maybe" as "auto" }], /toolChoice is one of auto, none, required/],
    [["Hello", { responseFormat: "xml" as "text" }], /responseFormat is/],
    [[[{ role: "robot" as "user", content: "Hello" }]], /role is one of system.*, not "robot"/],
    [[[{ role: "user", content: [{ type: "audio" } as never] }]], /A part is/],
    [[[{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png,raw" } }] }]], /base64/],
    [[{ role: "user" } as never], /A prompt is/],
  ];
  for (const [given, told] of calls) await assert.rejects(router.complete(...given), told);
  assert.equal(replica.arrived.length, 0);
});
