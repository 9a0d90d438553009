// test/bench/order.bench.ts: batches of requests whose series come in no order: encoding with the sort, and the runs it leaves.
import { ns, timeStages } from "./ingest-stages.ts";

const usual = timeStages({ targets: 20, scrapes: 8, version: 1 });
const shuffled = timeStages({ targets: 20, scrapes: 8, version: 1, shuffled: true });
const bytes = (t: typeof usual): string => (t.batchBytes / t.samples).toFixed(1);
console.log(
  `encoding in order ${ns(usual.stages.encodeBatch)} ns, ${bytes(usual)} B a sample; in no order ${ns(shuffled.stages.encodeBatch)} ns, ${bytes(shuffled)} B`,
);
