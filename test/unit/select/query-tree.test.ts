// test/unit/select/query-tree.test.ts: the JSON of parse_query, byte by byte, as Prometheus 3.14 writes it.
// The comparison with a real Prometheus over many queries is test/promql/language.test.ts.
import { expect, test } from "vitest";
import { parseExpr } from "../../../libs/promql/index.ts";
import { renderTree } from "../../../services/select/query-tree.ts";

const matcher = (name: string, value: string, type = "=") => `{"name":"${name}","type":"${type}","value":"${value}"}`;
const UP = `{"anchored":false,"matchers":[${matcher("__name__", "up")}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}`;

const TREES: readonly (readonly [query: string, json: string])[] = [
  ["up", UP],
  ["7", '{"type":"numberLiteral","val":"7"}'],
  ["5m", '{"type":"numberLiteral","val":"300"}'],
  ["-Inf", '{"type":"numberLiteral","val":"-Inf"}'],
  ['"a\\"\\n\\xff"', '{"type":"stringLiteral","val":"a\\"\\n\\ufffd"}'],
  ["(up)", `{"expr":${UP},"type":"parenExpr"}`],
  ["-up", `{"expr":${UP},"op":"-","type":"unaryExpr"}`],
  [
    "up{a!='b'}[5m] smoothed @ start() offset -1m",
    `{"anchored":false,"matchers":[${matcher("a", "b", "!=")},${matcher("__name__", "up")}],"name":"up","offset":-60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":true,"startOrEnd":"start","timestamp":null,"type":"matrixSelector"}`,
  ],
  [
    "up[2*step()] @ 1.5",
    `{"anchored":false,"matchers":[${matcher("__name__", "up")}],"name":"up","offset":0,"offsetExpr":null,"range":0,"rangeExpr":{"lhs":{"duration":false,"type":"numberLiteral","val":"2"},"op":"*","rhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false},"type":"durationExpr","wrapped":false},"smoothed":false,"startOrEnd":null,"timestamp":1500,"type":"matrixSelector"}`,
  ],
  [
    "up[1h:] offset (5m)",
    `{"expr":${UP},"offset":0,"offsetExpr":{"lhs":null,"op":"+","rhs":{"duration":true,"type":"numberLiteral","val":"300"},"type":"durationExpr","wrapped":true},"range":3600000,"rangeExpr":null,"startOrEnd":null,"step":0,"stepExpr":null,"timestamp":null,"type":"subquery"}`,
  ],
  [
    "up offset +step()",
    `${UP.replace('"offsetExpr":null', '"offsetExpr":{"lhs":null,"op":"+","rhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false},"type":"durationExpr","wrapped":false}')}`,
  ],
  ["sum(up)", `{"expr":${UP},"grouping":[],"op":"sum","param":null,"type":"aggregation","without":false}`],
  [
    "topk(3, up) without (a)",
    `{"expr":${UP},"grouping":["a"],"op":"topk","param":{"type":"numberLiteral","val":"3"},"type":"aggregation","without":true}`,
  ],
  [
    "round(up)",
    `{"args":[${UP}],"func":{"argTypes":["vector","scalar"],"name":"round","returnType":"vector","variadic":1},"type":"call"}`,
  ],
  ["time()", '{"args":[],"func":{"argTypes":[],"name":"time","returnType":"scalar","variadic":0},"type":"call"}'],
  [
    "1 > bool 2",
    '{"bool":true,"lhs":{"type":"numberLiteral","val":"1"},"matching":null,"op":">","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"}',
  ],
  [
    "up + on(a) group_left(b) fill_left(0) up",
    `{"bool":false,"lhs":${UP},"matching":{"card":"many-to-one","fillValues":{"lhs":0,"rhs":null},"include":["b"],"labels":["a"],"on":true},"op":"+","rhs":${UP},"type":"binaryExpr"}`,
  ],
];

test.each(TREES)("%s", (query, json) => {
  expect([...renderTree(parseExpr(query))].join("")).toBe(json);
});

test("a long chain comes in chunks, and costs no stack", () => {
  const chunks = [...renderTree(parseExpr(Array.from({ length: 20_000 }, () => "a").join("+")))];
  expect(chunks.length).toBeGreaterThan(10);
  expect(chunks.join("").match(/"type":"vectorSelector"/g)?.length).toBe(20_000);
});
