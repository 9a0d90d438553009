// test/unit/tsdb/side-fixture.ts: side batches for a storage, and what it holds of a series, looked at from inside.
import { encodeSeriesKey, type Labels, type SideAck } from "../../../libs/model/index.ts";
import { mergeSide, type SideSeries } from "../../../libs/side/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import type { DbState } from "../../../libs/tsdb/state.ts";
import { sideBatch } from "../../contract/side-batch.ts";
import { sipHash } from "../model/siphash-twin.ts";
import { TENANT } from "./db-fixture.ts";

/** Sends side data of series in one batch, through a session of its own. */
export async function appendSide(
  db: Db,
  parts: readonly (readonly [labels: Labels, side: SideSeries])[],
  tenant = TENANT,
): Promise<SideAck> {
  const session = db.openSession();
  try {
    return await session.appendSide(sideBatch(session.identity, tenant, parts));
  } finally {
    await session.close();
  }
}

/** Everything that a storage holds of a series beside floats. */
export function sideOf(db: Db, labels: Labels, tenant = TENANT): SideSeries {
  const { catalog, side } = (db as unknown as { readonly state: DbState }).state;
  const id = sipHash(db.identity.hashSeed, encodeSeriesKey(tenant, labels), 16);
  const views = side.sources.map((source) => source.capture());
  for (const view of views) view.load?.();
  const series = catalog.find(new DataView(id.buffer, id.byteOffset, id.length), 0);
  try {
    return mergeSide(views.map((view) => view.read(series, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)));
  } finally {
    for (const view of views) view.release();
  }
}
