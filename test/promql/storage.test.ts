// test/promql/storage.test.ts: all PromQL scripts pass on a real storage, loaded through an ingest session; those about histograms and start
// times also when all that was loaded is in blocks and files.
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { IngestSession, Queryable } from "../../libs/model/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import { DbStorage, openScriptDb } from "./db-storage.ts";
import { runScripts } from "./main.ts";
import type { StoredSeries } from "./script-samples.ts";

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

/** A storage that puts what it is given into blocks and files at once. */
class CutStorage extends DbStorage {
  private readonly db: Db;

  constructor(db: Db, session: IngestSession, tenant: string) {
    super(db.queryable, session, tenant);
    this.db = db;
  }

  override async evaluate(...args: Parameters<Queryable["evaluate"]>): ReturnType<Queryable["evaluate"]> {
    if (this.isDirty) await this.db.flush();
    this.isDirty = false;
    return super.evaluate(...args);
  }

  override async store(series: StoredSeries): Promise<void> {
    this.isDirty = true;
    await super.store(series);
  }

  private isDirty = false;
}

const CUT = /^(?:native-histograms|histograms|start[-_]time.*|rates)\.test$/;

test.each([own, ...(existsSync(shared) ? [shared] : [])])("evals of %s pass on blocks and files", async (directory) => {
  const db = await openScriptDb();
  const session = db.openSession();
  let tenants = 0;
  const open = (): DbStorage => new CutStorage(db, session, `tenant-${++tenants}`);
  const reports = await runScripts([directory], open, (name) => CUT.test(name));
  const failures = reports.flatMap(({ file, outcomes }) =>
    outcomes.filter((o) => o.failure !== undefined).map((o) => `${basename(file)}:${o.line}: ${o.failure}`),
  );
  expect(reports.flatMap(({ outcomes }) => outcomes).length).toBeGreaterThan(80);
  expect(failures.join("\n")).toBe("");
  expect(db.report().side.files).toBeGreaterThan(1);
  await db.close();
});
