// test/promql/storage.test.ts: all PromQL scripts pass on a real storage, loaded through an ingest session.
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { DbStorage, openScriptDb } from "./db-storage.ts";
import { runScripts } from "./main.ts";

const own = fileURLToPath(new URL(".", import.meta.url));
const shared = fileURLToPath(new URL("../../../shared/promqltest", import.meta.url));

test.each([own, ...(existsSync(shared) ? [shared] : [])])("every eval of %s passes on a storage", async (directory) => {
  const db = await openScriptDb();
  const session = db.openSession();
  let tenants = 0;
  const reports = await runScripts([directory], () => new DbStorage(db.queryable, session, `tenant-${++tenants}`));
  const failures = reports.flatMap(({ file, outcomes }) =>
    outcomes.filter((o) => o.failure !== undefined).map((o) => `${basename(file)}:${o.line}: ${o.failure}`),
  );
  expect(reports.flatMap(({ outcomes }) => outcomes).length).toBeGreaterThan(400);
  expect(failures.join("\n")).toBe("");
  await db.close();
});
