// test/promql/differential.test.ts: a real Prometheus and our engine answer the same generated questions alike.
// With an older Prometheus (Debian has 2.42) the questions keep to what it evaluates as version 3 does.
import { describe, expect, test } from "vitest";
import { askBoth } from "./fuzz.ts";
import { findPrometheus, Peer } from "./peer.ts";

const QUESTIONS = 1200;
const found = findPrometheus();

describe.skipIf(found === undefined)("generated queries against a real Prometheus", () => {
  test.each([
    ["as a stock server evaluates them", { delayedNames: false, starts: false }, 20260821],
    ["with names removed at the end, and start times", { delayedNames: true, starts: found?.modern === true }, 3140],
  ])("%s", async (_, modes, seed) => {
    const peer = await Peer.start(found!, seed, modes);
    try {
      const { asked, answered, findings } = await askBoth(peer, seed, QUESTIONS);
      expect(findings.map(({ question, difference }) => `${question.query}: ${difference}`)).toEqual([]);
      expect(answered).toBeGreaterThan(asked / 2);
    } finally {
      await peer.stop();
    }
  });
});
