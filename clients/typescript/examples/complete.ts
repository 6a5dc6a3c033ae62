/** One answer in one message. Usage: node build/examples/complete.js [ADDRESS]. */

import { Client, RouterError } from "@llmrouter/client";

const router = Client.connect(process.argv[2] ?? "localhost:50051", { timeoutMs: 30_000 });
try {
  const answer = await router.complete("Summarise: the parcel arrived broken and I want my money back.", {
    feature: "support_summary",
    tier: "free",
  });
  const { model, rule, policy, costNanoUsd } = answer.receipt;
  const cost = costNanoUsd === undefined ? "price unknown" : `${(Number(costNanoUsd) / 1e9).toFixed(6)} USD`;
  console.log(answer.text);
  console.log(`${model}, by rule ${rule} of policy ${policy}: ${cost}`);
} catch (error) {
  if (!(error instanceof RouterError)) throw error;
  console.error(`${error.reason || error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  router.close();
}
