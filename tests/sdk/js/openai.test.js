// The official `openai` SDK for JavaScript, unmodified, against a live router.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import OpenAI from 'openai';

import { startRouter } from './router.js';

const PROMPT = [{ role: 'user', content: 'Name three rivers of Europe.' }];
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const CLOCK = {
  type: 'function',
  function: { name: 'get_clock', parameters: { type: 'object', properties: { zone: { type: 'string' } } } },
};
const RIVERS = {
  type: 'json_schema',
  json_schema: {
    name: 'rivers',
    strict: true,
    schema: {
      type: 'object',
      properties: { rivers: { type: 'array', items: { type: 'string' } } },
      required: ['rivers'],
      additionalProperties: false,
    },
  },
};
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

let router;
before(async () => {
  router = await startRouter();
});
after(() => router.stop());
beforeEach(() => router.clear());

const client = (options = {}) => new OpenAI({ baseURL: router.baseUrl, apiKey: router.key, ...options });

// What a provider is to do comes with the request: a field that the router does not know reaches it.
const failing = (fault) => ({ simulate_fault: fault });

const textOf = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return { chunks, text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('') };
};

const failure = async (promise, kind) => {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail('It did not fail.');
};

test('a chat is answered with usage, cost and path', async () => {
  const { data, response, request_id } = await client()
    .chat.completions.create({ model: 'auto', messages: PROMPT })
    .withResponse();
  const [asked] = await router.journal();
  assert.equal(data.choices[0].message.content, asked.intended);
  assert.equal(data.usage.completion_tokens, asked.outputTokens);
  assert.equal(data.llmrouter.deployment, 'gpt-4o');
  assert.equal(response.headers.get('x-llmrouter-path'), 'gpt-4o=ok');
  assert.ok(Number(response.headers.get('x-llmrouter-cost-usd')) > 0);
  assert.equal(request_id, data.llmrouter.request_id);
});

test('a stream tells its usage and cost in the last chunk', async () => {
  const { chunks, text } = await textOf(
    await client().chat.completions.create({
      model: 'auto',
      messages: PROMPT,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  const [asked] = await router.journal();
  assert.equal(text, asked.intended);
  assert.deepEqual(chunks.filter((chunk) => chunk.usage), [chunks.at(-1)]);
  assert.equal(chunks.at(-1).usage.completion_tokens, asked.outputTokens);
  assert.ok(chunks.at(-1).llmrouter.cost_nano_usd > 0);
});

test("the SDK's own stream helper puts the answer together", async () => {
  const final = await client().chat.completions.stream({ model: 'auto', messages: PROMPT }).finalChatCompletion();
  const [asked] = await router.journal();
  assert.equal(final.choices[0].message.content, asked.intended);
});

test('a tool call and its result go back and forth', async () => {
  const messages = [{ role: 'user', content: 'What is the weather in Oslo?' }];
  const first = await client().chat.completions.create({ model: 'auto', messages, tools: [WEATHER] });
  const [call] = first.choices[0].message.tool_calls;
  assert.equal(first.choices[0].finish_reason, 'tool_calls');
  assert.equal(call.function.name, 'get_weather');
  assert.ok('city' in JSON.parse(call.function.arguments));
  messages.push(first.choices[0].message, { role: 'tool', tool_call_id: call.id, content: '4 degrees' });
  const second = await client().chat.completions.create({ model: 'auto', messages, tools: [WEATHER] });
  assert.ok(second.choices[0].message.content);
});

for (const stream of [false, true]) {
  test(`tools are called in parallel, ${stream ? 'streamed' : 'whole'}`, async () => {
    const asking = {
      model: 'auto',
      messages: [{ role: 'user', content: 'The weather in Oslo, and the clock there, please.' }],
      tools: [WEATHER, CLOCK],
    };
    const names = async (options) => {
      const { completions } = client().chat;
      const answer = stream
        ? await completions.stream({ ...asking, ...options }).finalChatCompletion()
        : await completions.create({ ...asking, ...options });
      return answer.choices[0].message.tool_calls.map((call) => {
        assert.equal(typeof JSON.parse(call.function.arguments), 'object');
        return call.function.name;
      });
    };
    assert.deepEqual(await names({}), ['get_weather', 'get_clock']);
    assert.deepEqual(await names({ parallel_tool_calls: false }), ['get_weather']);
  });
}

test('an answer follows its schema', async () => {
  const answered = await client().chat.completions.parse({ model: 'auto', messages: PROMPT, response_format: RIVERS });
  assert.ok(Array.isArray(JSON.parse(answered.choices[0].message.content).rivers));
  const [asked] = await router.journal();
  assert.deepEqual(asked.body.response_format, RIVERS);
});

test('a picture reaches the provider as it was given', async () => {
  const content = [
    { type: 'text', text: 'What is on this?' },
    { type: 'image_url', image_url: { url: PIXEL } },
  ];
  await client().chat.completions.create({ model: 'auto', messages: [{ role: 'user', content }] });
  const [asked] = await router.journal();
  assert.deepEqual(asked.body.messages[0].content, content);
});

test('models are listed and looked up', async () => {
  const ids = [];
  for await (const model of client().models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['auto', 'policy:alone', 'policy:cheap', 'policy:default', 'deepseek-chat', 'gpt-4o']);
  assert.equal((await client().models.retrieve('policy:cheap')).owned_by, 'llmrouter');
  await failure(client().models.retrieve('gpt-99'), OpenAI.NotFoundError);
});

test("refusals are the SDK's own errors", async () => {
  const asking = { model: 'auto', messages: PROMPT };
  const refused = (options, body, kind) => failure(client(options).chat.completions.create({ ...asking, ...body }), kind);
  assert.equal((await refused({ apiKey: 'none' }, {}, OpenAI.AuthenticationError)).code, 'UNAUTHENTICATED');
  const denied = await refused({ apiKey: router.narrowKey }, { model: 'gpt-4o' }, OpenAI.PermissionDeniedError);
  assert.equal(denied.code, 'PERMISSION_DENIED');
  const bad = await refused({}, { n: 2 }, OpenAI.BadRequestError);
  assert.deepEqual([bad.param, bad.code], ['n', 'INVALID_REQUEST']);
  assert.deepEqual(await router.journal(), []);
});

for (const stream of [false, true]) {
  test(`the SDK does not repeat what the router has tried, ${stream ? 'streamed' : 'whole'}`, async () => {
    // Three tries of the SDK would make three requests of the one that the policy allows.
    const asking = { model: 'alone', messages: PROMPT, stream, ...failing('503,503,503') };
    const error = await failure(client({ maxRetries: 2 }).chat.completions.create(asking), OpenAI.InternalServerError);
    assert.deepEqual([error.status, error.code], [502, 'ATTEMPTS_EXHAUSTED']);
    assert.equal((await router.journal()).length, 1);
  });
}

test('a rate limit says when there is more', async () => {
  const limited = { model: 'auto', messages: PROMPT, metadata: { feature: 'limited' } };
  const first = await client().chat.completions.create(limited).withResponse();
  assert.equal(first.response.headers.get('x-ratelimit-remaining-requests'), '0');
  const error = await failure(client().chat.completions.create(limited), OpenAI.RateLimitError);
  assert.equal(error.code, 'RATE_LIMITED');
  assert.ok(Number(error.headers.get('retry-after-ms')) > 0);
});

test('a spent budget is not asked of again', async () => {
  const poor = { model: 'alone', messages: PROMPT, metadata: { feature: 'poor' } };
  const error = await failure(client({ maxRetries: 2 }).chat.completions.create(poor), OpenAI.RateLimitError);
  assert.deepEqual([error.code, error.type], ['BUDGET_EXHAUSTED', 'insufficient_quota']);
  assert.deepEqual(await router.journal(), []);
});

test('the router answers before the SDK loses patience', async () => {
  const asking = { model: 'alone', messages: PROMPT, ...failing('silent,silent,silent') };
  // The SDK tells the router its timeout, in whole seconds, where a request brings its own.
  const options = { timeout: 1900, maxRetries: 2 };
  const error = await failure(client().chat.completions.create(asking, options), OpenAI.InternalServerError);
  assert.deepEqual([error.status, error.code], [504, 'DEADLINE_EXCEEDED']);
  assert.equal((await router.journal()).length, 1);
});

test('an aborted call ends at the provider', async () => {
  const abort = new AbortController();
  const asking = { model: 'alone', messages: PROMPT, ...failing('silent') };
  const call = client().chat.completions.create(asking, { signal: abort.signal });
  const failed = failure(call, OpenAI.APIUserAbortError);
  while ((await router.journal()).length === 0);
  abort.abort();
  await failed;
  assert.equal((await router.aborted()).outcome, 'aborted');
});

test('leaving a stream in its midst ends it at the provider', async () => {
  const asking = { model: 'alone', messages: PROMPT, stream: true, ...failing('stall;after_tokens=3') };
  for await (const chunk of await client().chat.completions.create(asking)) {
    if (chunk.choices[0].delta.content) break;
  }
  assert.equal((await router.aborted()).outcome, 'aborted');
});

test('a stream that breaks after output raises and is not repeated', async () => {
  const asking = { model: 'alone', messages: PROMPT, stream: true, ...failing('cut;after_tokens=3') };
  const stream = await client().chat.completions.create(asking);
  let text = '';
  const reading = (async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  })();
  const error = await failure(reading, OpenAI.APIError);
  assert.equal(error.code, 'STREAM_TRUNCATED');
  const asked = await router.journal();
  assert.equal(asked.length, 1);
  assert.ok(text && asked[0].intended.startsWith(text));
});
