// test/promql/templates.test.ts: all query templates against a real Prometheus that has the same series: the same answers, every one.
import { describe, expect, test } from "vitest";
import { Chance } from "./chance.ts";
import { difference } from "./compare-answers.ts";
import { demoSeries } from "./demo-series.ts";
import { findPrometheus, Peer } from "./peer.ts";
import { expandedTemplates } from "./templates.ts";

const MINUTE_MS = 60_000;
const found = findPrometheus();

describe.skipIf(found === undefined)("query templates against a real Prometheus", () => {
  test("every one has the same answer, series in any order", async () => {
    const made = (baseMs: number) => demoSeries(new Chance(539), baseMs, 90 * MINUTE_MS);
    const peer = await Peer.start(found!, 539, { delayedNames: false, starts: false }, made);
    try {
      // The windows of subqueries are left-open since 3.0, and their points lie on the edges.
      const queries = expandedTemplates().filter((query) => peer.modern || !/\[\w+:\w+\]/.test(query));
      const startMs = peer.baseMs + 70 * MINUTE_MS;
      const findings: string[] = [];
      let answered = 0;
      for (const query of queries) {
        const question = { query, startMs, endMs: startMs + 10 * MINUTE_MS, stepMs: 10_000 };
        const [theirs, ours] = await Promise.all([peer.theirs(question), peer.ours(question)]);
        if ((theirs.data?.result.length ?? 0) > 0) answered++;
        const different = difference(theirs, ours, peer.modern);
        if (different !== undefined) findings.push(`${query}: ${different}`);
      }
      console.log(`${queries.length - findings.length} of ${queries.length} templates agree, ${answered} with series`);
      expect(findings).toEqual([]);
      expect(queries.length).toBeGreaterThan(539);
      expect(answered).toBeGreaterThan(queries.length * 0.8);
    } finally {
      await peer.stop();
    }
  });
});
