// services/select/exemplar-json.ts: exemplars as Prometheus writes them in JSON, series by series.

import { NUMBER_BYTES_MAX, writeTimestamp, writeValue } from "../../libs/kernel/index.ts";
import type { SeriesExemplars } from "../../libs/model/index.ts";
import { ByteWriter } from "./byte-writer.ts";
import { renderEnd, writeLabels } from "./json.ts";

export function* renderExemplars(series: readonly SeriesExemplars[]): Generator<Uint8Array> {
  const w = new ByteWriter();
  w.ascii('{"status":"success","data":[');
  for (const [i, { labels, exemplars }] of series.entries()) {
    w.ascii(i === 0 ? '{"seriesLabels":' : ',{"seriesLabels":');
    writeLabels(w, labels);
    w.ascii(',"exemplars":[');
    for (const [j, exemplar] of exemplars.entries()) {
      w.ascii(j === 0 ? '{"labels":' : ',{"labels":');
      writeLabels(w, exemplar.labels);
      w.ascii(',"value":"');
      w.reserve(2 * NUMBER_BYTES_MAX);
      w.at = writeValue(w.bytes, w.at, exemplar.value);
      w.ascii('","timestamp":');
      w.reserve(2 * NUMBER_BYTES_MAX);
      w.at = writeTimestamp(w.bytes, w.at, exemplar.timeMs);
      w.ascii("}");
      if (w.isFull) yield w.take();
    }
    w.ascii("]}");
  }
  w.ascii("]");
  yield* renderEnd(w, "", { warnings: [], infos: [] });
}
