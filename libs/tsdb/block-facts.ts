// libs/tsdb/block-facts.ts: the live blocks that have series of a tenant, with that tenant's share of them.
import { type BlockFacts, compareUtf8 } from "../model/index.ts";
import type { StoredBlock } from "./stored-block.ts";

const hex = (id: Uint8Array): string => Buffer.from(id).toString("hex");

export function blockFacts(blocks: readonly StoredBlock[], tenant: string): BlockFacts[] {
  return blocks
    .flatMap(({ reader }): BlockFacts[] => {
      const { id, level, minMs, maxMs, parents, tenants } = reader.footer;
      const own = tenants.find((entry) => entry.tenant === tenant);
      if (own === undefined) return [];
      const { count: series, samples } = own;
      return [{ id: hex(id), level, minMs, maxMs, series, samples, parents: parents.map(hex) }];
    })
    .sort((a, b) => a.minMs - b.minMs || compareUtf8(a.id, b.id));
}
