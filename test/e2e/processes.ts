// test/e2e/processes.ts: starts real processes on free loopback ports and ends exactly those, by pid.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { ROOT } from "../needs.ts";

export interface Running {
  readonly name: string;
  readonly child: ChildProcess;
  readonly pid: number;
  /** Everything it wrote so far, for failure messages and for addresses. */
  output(): string;
  /** Settles when it has ended; the exit code, or null after a signal. */
  readonly ended: Promise<number | null>;
}

/** Starts a program without a shell. Its output is kept, the last 64 KiB of it. */
export function start(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  let text = "";
  const keep = (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-65_536);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise<number | null>((resolve) => {
    child.on("exit", (code) => resolve(code));
    child.on("error", (error) => {
      text += `\n${error.message}`;
      resolve(-1);
    });
  });
  return { name, child, pid: child.pid ?? -1, output: () => text, ended };
}

/** Starts `tidemark` with the given arguments and JSON logs. */
export function startTidemark(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  return start(name, `${ROOT}bin/tidemark`, [...args, "--log-format", "json"], env);
}

/** Asks a process to stop and waits; after `graceMs` it is killed. */
export async function stop(
  running: Running,
  signal: NodeJS.Signals = "SIGTERM",
  graceMs = 20_000,
): Promise<number | null> {
  if (running.child.exitCode !== null || running.child.signalCode !== null) return running.child.exitCode;
  running.child.kill(signal);
  const timer = setTimeout(() => running.child.kill("SIGKILL"), graceMs);
  const code = await running.ended;
  clearTimeout(timer);
  return code;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until `probe` gives a value; fails with the process's output when it ends or time runs out. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs: number,
  running: readonly Running[] = [],
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last = "";
  while (Date.now() < deadline) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    const dead = running.find((r) => r.child.exitCode !== null || r.child.signalCode !== null);
    if (dead) throw new Error(`${dead.name} ended while waiting for ${what}:\n${dead.output().slice(-3000)}`);
    await sleep(100);
  }
  throw new Error(
    `waited ${timeoutMs} ms for ${what}; ${last}\n${running.map((r) => `${r.name}: ${r.output().slice(-1500)}`).join("\n")}`,
  );
}

/** Waits until GET `url` answers 200. */
export async function untilOk(url: string, timeoutMs: number, running: readonly Running[] = []): Promise<void> {
  await until(url, async () => ((await fetch(url)).status === 200 ? true : undefined), timeoutMs, running);
}
