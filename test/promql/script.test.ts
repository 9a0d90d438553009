// test/promql/script.test.ts: what the runner does with scripts that are not in order.
import { expect, test } from "vitest";
import { Engine } from "../../libs/promql/index.ts";
import { executeScript } from "./execute.ts";
import { parseScript } from "./script.ts";

const SCRIPT = `load 1m
  up{job="a"} 1 2 3

eval instant at 1m no_such_function(up)
  {job="a"} 2

evaluate this
  {job="a"} 2

load often
  up{job="b"} 1

eval instant at 1m up
  up{job="a"} 2

eval instant at 1m up
  expect warn regex:(
  up{job="a"} 2

eval instant at 2m up
  up{job="a"} 4
`;

test("a command that does not parse fails on its own, and the rest of the script goes on", async () => {
  const outcomes = await executeScript(parseScript(SCRIPT), new Engine({ now: () => 0 }));
  expect(outcomes.map(({ line, failure }) => [line, failure])).toEqual([
    [4, expect.stringContaining("unknown function")],
    [7, expect.stringContaining("cannot parse eval")],
    [11, expect.stringContaining("not a valid duration")],
    [13, undefined],
    [17, expect.stringContaining("error parsing regexp")],
    [20, expect.stringContaining("got 3 for")],
  ]);
});
