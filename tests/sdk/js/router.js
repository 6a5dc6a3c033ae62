// A live router in a process of its own, and what its simulated providers saw.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export async function startRouter() {
  const child = spawn(`${ROOT}/.venv/bin/python`, ['-m', 'tests.sdk.serve'], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const told = lines[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await told.next();
    if (done) throw new Error('The router ended.');
    return JSON.parse(value);
  };
  const router = await next();
  // One command at a time: answers come in their order.
  let turn = Promise.resolve();
  const ask = (command) => {
    turn = turn.then(() => {
      child.stdin.write(`${command}\n`);
      return next();
    });
    return turn;
  };
  return {
    ...router,
    journal: () => ask('journal'),
    aborted: () => ask('aborted'),
    clear: () => ask('clear'),
    stop: async () => {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
