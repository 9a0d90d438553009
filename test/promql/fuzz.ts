// test/promql/fuzz.ts: asks a real Prometheus and our engine the same generated questions.
import { Chance } from "./chance.ts";
import { difference } from "./compare-answers.ts";
import type { Coverage } from "./coverage.ts";
import { QueryWriter } from "./generate.ts";
import type { Peer, Question } from "./peer.ts";

export interface Finding {
  readonly question: Question;
  readonly difference: string;
}

/** What asking came to. */
export interface Findings {
  readonly asked: number;
  /** Questions that had an answer with series in it: the others prove little. */
  readonly answered: number;
  readonly findings: readonly Finding[];
}

/** Asks `count` questions of a seed, and counts what they use. */
export async function askBoth(peer: Peer, seed: number, count: number, coverage?: Coverage): Promise<Findings> {
  const chance = new Chance(seed);
  const writer = new QueryWriter(chance, { modern: peer.modern, starts: peer.starts });
  const findings: Finding[] = [];
  let answered = 0;
  for (let i = 0; i < count; i++) {
    const question = peer.question(chance, writer.query());
    const [theirs, ours] = await Promise.all([peer.theirs(question), peer.ours(question)]);
    coverage?.add(question.query);
    if ((theirs.data?.result.length ?? 0) > 0) answered++;
    const found = difference(theirs, ours, peer.modern);
    if (found !== undefined) findings.push({ question, difference: found });
  }
  return { asked: count, answered, findings };
}
