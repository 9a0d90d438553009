// services/cli/read-ahead.ts: --read-ahead: how long a start reads blocks before readiness, and then beside queries.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";

/** After readiness, by how much longer. */
const AFTER_FACTOR = 10;

/** Whether there will be blocks to be read ahead. */
export function readsAhead({ dataDir, readAhead }: { readonly dataDir: string; readonly readAhead: number }): boolean {
  const folder = join(dataDir, "blocks");
  return readAhead > 0 && existsSync(folder) && readdirSync(folder).length > 0;
}

/**
 * Reads before readiness; what it returns, called once ready, goes on in the background until the engine closes. Never rejects: a storage that
 * has read nothing answers all the same.
 */
export async function readAhead(engine: Db, budgetMs: number, log: Logger): Promise<() => void> {
  if (budgetMs === 0) return () => undefined;
  const cutShort = (err: unknown): void => log.error({ err }, "reading blocks ahead was cut short");
  await engine.readAheadOfQueries(budgetMs).catch(cutShort);
  return () => {
    const done = engine.readAheadBesideQueries(budgetMs * AFTER_FACTOR).then(() => {
      const { blocks, questions, workedMs, keptBytes } = engine.report().readAhead;
      log.debug({ blocks, questions, workedMs: Math.round(workedMs), keptBytes }, "blocks were read ahead");
    });
    // The report fails, too, where the directory has been removed meanwhile.
    done.catch(cutShort);
  };
}
