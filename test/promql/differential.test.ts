// test/promql/differential.test.ts: a real Prometheus and our engine answer the same generated questions alike.
// With an older Prometheus (Debian has 2.42) the questions keep to what it evaluates as version 3 does.
import { describe, expect, test } from "vitest";
import { Coverage } from "./coverage.ts";
import { askBoth } from "./fuzz.ts";
import { findPrometheus, Peer } from "./peer.ts";

const QUESTIONS = 5000;
/** How often each construct of the language is used at least, over all questions. */
const USES_MIN = 30;
const found = findPrometheus();

describe.skipIf(found === undefined)("generated queries against a real Prometheus", () => {
  const coverage = new Coverage();
  test.each([
    ["as a stock server evaluates them", { delayedNames: false, starts: false }, 20260821],
    ["with names removed at the end, and start times", { delayedNames: true, starts: found?.modern === true }, 3140],
  ])("%s", async (_, modes, seed) => {
    const peer = await Peer.start(found!, seed, modes);
    try {
      const { asked, answered, findings } = await askBoth(peer, seed, QUESTIONS, coverage);
      console.log(`${asked} questions, ${answered} answered with series, ${findings.length} differences`);
      expect(findings.map(({ question, difference }) => `${question.query}: ${difference}`)).toEqual([]);
      expect(answered).toBeGreaterThan(asked * 0.6);
    } finally {
      await peer.stop();
    }
  });

  test("every construct is used", () => {
    console.log(`uses: ${coverage}`);
    // An older Prometheus doesn't know all of them.
    if (found!.modern) expect(coverage.below(USES_MIN)).toEqual([]);
  });
});
