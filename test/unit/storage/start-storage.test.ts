// test/unit/storage/start-storage.test.ts: the storage service starts an engine's server and closes the engine last.
import { expect, test } from "vitest";
import { InvalidError, UnavailableError } from "../../../libs/model/index.ts";
import { connectIngest } from "../../../libs/rpc/index.ts";
import { startStorage } from "../../../services/storage/index.ts";
import { register, rows, writeBatch } from "../../contract/ingest-batch.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";

/** An engine that notes what happens to it. */
class ClosableMemoryEngine extends MemoryEngine {
  readonly events: string[] = [];

  async close(): Promise<void> {
    this.events.push(`closed with ${this.openSessions} sessions`);
  }
}

test("a stop acknowledges what was read, then closes the engine, once", async () => {
  let release: (() => void) | undefined;
  const engine = new ClosableMemoryEngine({
    durable: () =>
      new Promise((resolve) => {
        release = () => {
          engine.events.push("durable");
          resolve();
        };
      }),
  });
  const service = await startStorage({ engine, listen: "127.0.0.1:0" });
  expect(service.address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
  const session = await connectIngest(service.address).connect();
  const registrations = [register(session.identity, 1, "default", ["__name__", "m"])];
  const ack = session.append(writeBatch({ seq: 1, registrations, ...rows([[1, engine.nowMs, 1]]) }));
  while (release === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  const closed = [service.close(), service.close()];
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(engine.events).toEqual([]);
  release();
  await Promise.all(closed);
  expect((await ack).status).toBe("stored");
  expect(engine.events).toEqual(["durable", "closed with 0 sessions"]);
});

test("an address in use, or none, closes the engine and says so", async () => {
  const first = await startStorage({ engine: new ClosableMemoryEngine(), listen: "127.0.0.1:0" });
  for (const [listen, kind] of [
    [first.address, UnavailableError],
    ["nonsense", InvalidError],
  ] as const) {
    const engine = new ClosableMemoryEngine();
    await expect(startStorage({ engine, listen })).rejects.toThrow(kind);
    expect(engine.events).toEqual(["closed with 0 sessions"]);
  }
  await first.close();
});
