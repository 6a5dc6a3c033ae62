/** An answer as it is written. Usage: node build/examples/stream.js [ADDRESS]. */

import { Client } from "@llmrouter/client";

const router = Client.connect(process.argv[2] ?? "localhost:50051");
try {
  const stream = router.stream("Tell me a short story about a lighthouse.", { feature: "chat_reply", tier: "pro" });
  for await (const text of stream.text()) process.stdout.write(text);
  console.log();
  for (const attempt of stream.finished?.receipt?.attempts ?? []) {
    console.log(`attempt ${attempt.number}: ${attempt.deployment} ${attempt.errorType || "ok"}`);
  }
} finally {
  router.close();
}
