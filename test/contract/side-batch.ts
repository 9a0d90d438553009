// test/contract/side-batch.ts: side batches as an insert of a cluster would send them.
import type { Labels, StorageIdentity } from "../../libs/model/index.ts";
import { SideBatchWriter, type SideSeries } from "../../libs/side/index.ts";
import { register } from "./ingest-batch.ts";

/** One batch of some series of a tenant. */
export function sideBatch(
  identity: StorageIdentity,
  tenant: string,
  parts: readonly (readonly [labels: Labels, side: SideSeries])[],
): Uint8Array {
  const writer = new SideBatchWriter();
  for (const [labels, side] of parts) {
    const { shard, home, id, key } = register(identity, 1, tenant, labels);
    const view = new DataView(home.buffer);
    writer.add({ shard, homeLow: view.getUint32(0, true), homeHigh: view.getUint32(4, true), id, key }, side);
  }
  return writer.finish();
}
