// test/bench/walk.bench.ts: the protobuf walks, per sample: series that come as expected, in random order, all new.
import { ns, timeStages } from "./ingest-stages.ts";

const usual = timeStages({ targets: 100, scrapes: 4, version: 1 });
const shuffled = timeStages({ targets: 100, scrapes: 4, version: 1, shuffled: true });
const second = timeStages({ targets: 100, scrapes: 4, version: 2 });
console.log(`version 1, expected series (sids found on the way): ${ns(usual.stages.walkV1)} ns a sample`);
console.log(
  `version 1, random order: ${ns(shuffled.stages.walkV1)} ns; series unknown for the first time: ${ns(usual.first.walkV1)} ns`,
);
console.log(`version 2, label bytes written out: ${ns(second.stages.walkV2)} ns`);
