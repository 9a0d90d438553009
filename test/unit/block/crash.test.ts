// test/unit/block/crash.test.ts: a crash while a block is written leaves no block or the whole one; disk errors leave the draft to be given up.
import { expect, test } from "vitest";
import { BlockWriter, verifyBlock } from "../../../libs/block/index.ts";
import { ensureDirectory, SeededRandom, SimCrash, type SimFault, SimFileSystem } from "../../../libs/env/index.ts";
import { Draw } from "../kernel/head-programs.ts";
import { contentOf, drawSeries, kernel, openBlock, optionsOf, writeBlock } from "./block-fixture.ts";

const series = drawSeries(new Draw(51), 1);

function disk(): SimFileSystem {
  const fs = new SimFileSystem();
  ensureDirectory(fs, "/data", "setup");
  fs.fsyncDir("/", "setup");
  return fs;
}

const reference = disk();
writeBlock(reference, "/data/b", series);
const content = contentOf(openBlock(reference, "/data/b"));

test("at any call: nothing, or the whole block; once finish has returned, the block", () => {
  const calls = reference.calls;
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 25; seed++) {
    for (let stop = 5; stop <= calls + 1; stop++) {
      const fs = disk();
      fs.faults = (call) => (call.number === stop ? "crash" : undefined);
      let finished = false;
      try {
        writeBlock(fs, "/data/b", series);
        finished = true;
      } catch (error) {
        if (!(error instanceof SimCrash)) throw error;
      }
      fs.faults = () => undefined;
      fs.crash(new SeededRandom(seed * 1000 + stop));
      const there = fs.stat("/data/b") !== undefined;
      if (there) {
        expect(verifyBlock(fs, "/data/b", kernel)).toEqual([]);
        expect(contentOf(openBlock(fs, "/data/b"))).toEqual(content);
      }
      if (finished) expect(there).toBe(true);
      outcomes.add(`${finished ? "finished" : "cut"}, ${there ? "there" : "not there"}`);
      // A draft of the life before is no obstacle.
      if (seed === 0 && !there) writeBlock(fs, "/data/b", series);
    }
  }
  expect([...outcomes].sort()).toEqual(["cut, not there", "cut, there", "finished, there"]);
});

test.each([
  ["test-file", true],
  ["test-name", false],
] as const)("without the sync %s a crash may lose what finish promised", (site, damaged) => {
  let lost = 0;
  for (let seed = 0; seed < 30; seed++) {
    const fs = disk();
    fs.ignoreSync((call) => call.site === site);
    writeBlock(fs, "/data/b", series);
    fs.crash(new SeededRandom(seed));
    if (fs.stat("/data/b") === undefined) lost += damaged ? 0 : 1;
    else if (verifyBlock(fs, "/data/b", kernel).length > 0) lost += damaged ? 1 : 0;
  }
  expect(lost).toBeGreaterThan(0);
});

test.each<[SimFault, string]>([
  ["ENOSPC", "write"],
  ["EIO", "fdatasync"],
  ["EIO", "rename"],
])("%s at %s: the error, and no trace once abandoned", (fault, kind) => {
  const fs = disk();
  const writer = new BlockWriter(fs, "/data/b", optionsOf(), kernel);
  fs.faults = (call) => (call.kind === kind ? fault : undefined);
  const [one] = series;
  expect(() => writer.addSeries(one!.key, one!.times, ...one!.columns).finish("test")).toThrow(fault);
  fs.faults = () => undefined;
  writer.abandon();
  expect(fs.list("/data")).toEqual([]);
  writer.abandon();
});
