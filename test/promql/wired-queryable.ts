// test/promql/wired-queryable.ts: several storages in memory as one, with everything that crosses the network encoded and
// decoded as gRPC carries it. Answers are merged as a select merges them.
import { type Leaf, type LeafResult, labelsKey, type QueryContext } from "../../libs/model/index.ts";
import { mergePartials, mergeSeries } from "../../libs/promql/index.ts";
import { ColumnDecoder } from "../../libs/rpc/column-decoder.ts";
import { encodeColumns } from "../../libs/rpc/column-encoder.ts";
import { leafFromMessage, leafToMessage, notesFromMessage } from "../../libs/rpc/leaf-codec.ts";
import { contracts } from "../../libs/rpc/load.ts";
import { SampleQueryable } from "./sample-queryable.ts";
import type { StoredSeries } from "./script-samples.ts";

/** Each series lives on one of the shards. */
export class WiredQueryable extends SampleQueryable {
  readonly #shards: readonly SampleQueryable[];

  constructor(shards: number) {
    super();
    this.#shards = Array.from({ length: shards }, () => new SampleQueryable());
  }

  override store(series: StoredSeries): void {
    let hash = 0;
    for (const char of labelsKey(series.labels)) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) >>> 0;
    this.#shards[hash % this.#shards.length]!.store(series);
  }

  override async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const { evaluateRequest } = contracts();
    const request = {
      tenant: "t",
      samplesMax: context.samplesMax,
      seriesMax: 0,
      bytesMax: 0,
      leaf: leafToMessage(leaf),
      call: 1,
      timeoutMs: 0,
      cancel: false,
    };
    const asked = leafFromMessage(evaluateRequest.deserialize(evaluateRequest.serialize(request)).leaf);
    const results = await Promise.all(
      this.#shards.map(async (shard) => overWire(await shard.evaluate(asked, context))),
    );
    return leaf.aggregation === undefined ? mergeSeries(results) : mergePartials(leaf.aggregation.op, results);
  }
}

function overWire({ columns, seriesCount, samplesRead, warnings, notes }: LeafResult): LeafResult {
  const { evaluateReply } = contracts();
  const decoder = new ColumnDecoder();
  // Small frames, so that many answers need several.
  for (const frame of encodeColumns(columns, 2000)) decoder.push(frame);
  const summary = { seriesCount, samplesRead, warnings, notes: notes ?? [] };
  const bytes = evaluateReply.serialize({ frame: Buffer.alloc(0), summary, call: 1, failure: null });
  const received = evaluateReply.deserialize(bytes).summary!;
  return { ...received, columns: decoder.finish(), notes: notesFromMessage(received.notes) };
}
