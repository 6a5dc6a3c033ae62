// All code in the READMEs compiles against this client.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";

import ts from "typescript";

const BLOCK = /^```ts\n(.*?)^```/gms;
const GIVEN = [
  'import { Client, RouterError, type ChatMessage } from "@llmrouter/client";',
  'import type { Message } from "@llmrouter/client/v1";',
];

/** The block as a module. What it does not declare or import itself it is given: the client's names, a client, an answer. */
function moduleOf(block: string): string {
  const declared = (name: string) => new RegExp(`\\b(const|let) ${name}\\b`).test(block);
  return [
    ...(block.includes("import ") ? ['import type { Client as GivenClient } from "@llmrouter/client";'] : GIVEN),
    ...(block.includes("import ") ? [] : ["type GivenClient = Client;"]),
    ...(declared("router") ? [] : ["declare const router: GivenClient;"]),
    ...(declared("answer") ? [] : ['declare const answer: Awaited<ReturnType<GivenClient["complete"]>>;']),
    block,
    "export {};",
  ].join("\n");
}

/** What the compiler says of each module, in their order. */
function complaints(sources: string[]): string[][] {
  const files = new Map(sources.map((source, at) => [resolve(`readme-block-${at}.ts`), source]));
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: ["node"],
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile } = host;
  host.fileExists = (name) => files.has(resolve(name)) || fileExists(name);
  host.readFile = (name) => files.get(resolve(name)) ?? readFile(name);
  host.getSourceFile = (name, languageVersion) => {
    const text = host.readFile(name);
    return text === undefined ? undefined : ts.createSourceFile(name, text, languageVersion);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files.keys()].map((name) =>
    ts
      .getPreEmitDiagnostics(program, program.getSourceFile(name))
      .map((one) => ts.flattenDiagnosticMessageText(one.messageText, "\n")),
  );
}

test("the code in the READMEs compiles, and what does not is seen", () => {
  const pages = ["README.md", "../../README.md"];
  const blocks = pages.map((page) => [...readFileSync(page, "utf8").matchAll(BLOCK)].map((found) => found[1] ?? ""));
  for (const found of blocks) assert.ok(found.length > 0);
  const sources = [...blocks.flat(), 'await router.compleet("Hi");'];
  const said = complaints(sources.map(moduleOf));
  assert.match(said.pop()?.join() ?? "", /compleet/);
  said.forEach((one, at) => assert.deepEqual(one, [], sources[at]));
});
