// test/unit/cli/warm-up.test.ts: the work before readiness runs to its end, in process and over gRPC, and leaves nothing behind.
import { Server } from "node:net";
import { Writable } from "node:stream";
import { expect, test, vi } from "vitest";
import { createLog } from "../../../libs/runtime/index.ts";
import { warmUp } from "../../../services/cli/warm-up.ts";

async function linesOf(budgetMs: number, overGrpc: boolean): Promise<string[]> {
  const lines: string[] = [];
  const stream = new Writable({
    write: (line, _encoding, done) => {
      lines.push(String(line));
      done();
    },
  });
  const log = createLog({ format: "json", level: "debug", service: "test", stream });
  await warmUp({ budgetMs, overGrpc, asksBlocks: true, version: "0", log });
  return lines;
}

test.each([
  ["in process", false],
  ["over gRPC", true],
])("%s, without a complaint", async (_, overGrpc) => {
  expect(await linesOf(1000, overGrpc)).toEqual([]);
  await vi.waitFor(() => expect(process.getActiveResourcesInfo()).not.toContain("TCPServerWrap"));
});

test("a budget of nothing does nothing", async () => {
  const listening = vi.spyOn(Server.prototype, "listen");
  expect(await linesOf(0, true)).toEqual([]);
  expect(listening).not.toHaveBeenCalled();
});
