// services/select/blocks-endpoint.ts: `status/tsdb/blocks`: the blocks that have series of the tenant, in the form of Prometheus' block metas.
// There is one for each shard, level of resolution and stretch of time, on each storage.
import type { BlockFacts, Queryable } from "../../libs/model/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import { renderData } from "./json.ts";
import type { QueryRunner } from "./run-query.ts";

/** Digits of a ULID: 26 of five bits for 128 bits, the first of three. */
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

export function blocksEndpoint(queryable: () => Queryable, runner: QueryRunner): Endpoint {
  const answer = async ({ exchange, tenant }: ApiRequest): Promise<Uint8Array> => {
    const blocks = await runner.run("metadata", exchange, tenant, undefined, async (c) => queryable().blocks?.(c));
    return renderData({ blocks: (blocks ?? []).map(meta) });
  };
  return { path: "status/tsdb/blocks", acceptsPost: false, answer };
}

function meta({ id, minMs, maxMs, series, samples, parents }: BlockFacts): object {
  const ulid = ulidOf(id);
  return {
    ulid,
    // Ours have times in (min, max], theirs in [min, max).
    minTime: minMs + 1,
    maxTime: maxMs + 1,
    stats: { numSamples: samples, numFloatSamples: samples, numSeries: series, numChunks: series },
    compaction: { level: parents.length === 0 ? 1 : 2, sources: parents.length === 0 ? [ulid] : parents.map(ulidOf) },
    version: 1,
  };
}

/** 128 bits in hexadecimal digits as a ULID writes them. Ours say nothing of a time. */
export function ulidOf(id: string): string {
  let rest = BigInt(`0x${id}`);
  let out = "";
  for (let i = 0; i < 26; i++) {
    out = DIGITS[Number(rest & 31n)]! + out;
    rest >>= 5n;
  }
  return out;
}
