// test/unit/cli/command.test.ts: bin/tidemark as a process: texts, refusals, signals, exit status.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { packageRoot } from "../../../libs/env/index.ts";
import { packageVersion } from "../../../services/cli/index.ts";

const dir = mkdtempSync(join(tmpdir(), "tidemark-command-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Standard output, once it contains the text. */
  readonly seen: (text: string) => Promise<string>;
}

const COMMAND = join(packageRoot(), "bin/tidemark");

/** As operators start it, or with `node` named: then without the flags in its first line. */
function tidemark(args: readonly string[], env: Record<string, string> = {}, node: readonly string[] = []): Started {
  const [file, ...others] = [...node, COMMAND, ...args];
  const child = spawn(file!, others, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, ...env },
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, out, err })));
  const seen = async (text: string): Promise<string> => {
    await expect.poll(() => out, { timeout: 20_000 }).toContain(text);
    return out;
  };
  return { child, ended, seen };
}

test("version and help go to standard output with status 0", async () => {
  const version = await tidemark(["--version"]).ended;
  expect(version).toEqual({ code: 0, out: `${packageVersion()}\n`, err: "" });
  const help = await tidemark(["storage", "--help"]).ended;
  expect([help.code, help.err]).toEqual([0, ""]);
  expect(help.out).toContain("--grpc-listen <HOST:PORT>");
});

test.each<[string[], Record<string, string>, string]>([
  [["all", "--retention", "raw=30x"], {}, 'cannot use --retention: got "raw=30x"; want raw=30d'],
  [["all", "--colour"], {}, "cannot use flag: got --colour"],
  [["insert"], {}, "cannot start: got no --storage"],
  [["all"], { TIDEMARK_LOOKBACK: "5" }, 'cannot use --lookback (from TIDEMARK_LOOKBACK): got "5"'],
  [["storage", "--grpc-listen", "0.0.0.0:0"], {}, "--insecure"],
  [["al"], {}, "did you mean all?"],
])("%j with %j is refused in one sentence with status 2", async (args, env, text) => {
  const { code, out, err } = await tidemark(args, env).ended;
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain(text);
  expect(err.trimEnd().split("\n").length).toBe(1);
});

test("SIGTERM stops cleanly with status 0; the banner comes last", async () => {
  const args = ["all", "--http-listen", "127.0.0.1:0", "--data-dir", join(dir, "a"), "--head-memory", "32MiB"];
  const { child, ended, seen } = tidemark([...args, "--log-format", "human"]);
  await seen("Ctrl-C stops it.");
  child.kill("SIGTERM");
  const { code, out, err } = await ended;
  expect([code, err]).toEqual([0, ""]);
  const order = ["all is listening", "all is ready", "remote_write:", "SIGTERM", "all has stopped"].map((t) =>
    out.indexOf(t),
  );
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(Math.min(...order)).toBeGreaterThan(-1);
});

test("the first signal waits for a request, a second one exits at once", async () => {
  const args = ["all", "--http-listen", "127.0.0.1:0", "--data-dir", join(dir, "b"), "--head-memory", "32MiB"];
  const { child, ended, seen } = tidemark([...args, "--log-format", "json"]);
  const first = JSON.parse((await seen("all is ready")).split("\n")[0]!);
  const socket = connect(Number(first.http.split(":")[1]), "127.0.0.1");
  socket.on("error", () => {});
  socket.write("POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  await new Promise((resolve) => setTimeout(resolve, 200));
  child.kill("SIGTERM");
  await seen("SIGTERM: finishing requests");
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(child.exitCode).toBeNull();
  child.kill("SIGTERM");
  expect((await ended).code).toBe(1);
  socket.destroy();
});

test("node without the flags in the command's first line is told so; the command itself has them", async () => {
  for (const node of [[], [process.execPath]]) {
    const args = ["all", "--http-listen", "127.0.0.1:0", "--data-dir", join(dir, "c"), "--warm-up", "0s"];
    const { child, ended, seen } = tidemark([...args, "--log-format", "json"], {}, node);
    const text = await seen("all is ready");
    expect(text.includes("without the flags in the first line"), text).toBe(node.length > 0);
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
  }
});
