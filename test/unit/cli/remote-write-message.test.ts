// test/unit/cli/remote-write-message.test.ts: the bytes of our own metrics, spelled out by hand from the wire format.
import { expect, test } from "vitest";
import { encodeMetadata, encodeSamples } from "../../../services/cli/remote-write-message.ts";

/** A field of wire type 2. */
function field(no: number, ...content: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(content.map((c) => Buffer.from(c)));
  return Buffer.concat([Buffer.from([no * 8 + 2, body.length]), body]);
}
const label = (name: string, value: string): Buffer => field(1, field(1, name), field(2, value));
const double = (value: number): Buffer => {
  const bytes = Buffer.alloc(9, 9);
  bytes.writeDoubleLE(value, 1);
  return bytes;
};

test("labels are sorted by bytes, empty ones left out, the target's win", () => {
  const values = [{ name: "a_total", labels: { zone: "é", Area: "1", empty: "", job: "mine" }, value: 1.5 }];
  const families = [{ name: "a_total", type: "counter", help: "", values }];
  const message = encodeSamples(families, { job: "tidemark" }, 300);
  const labels = [label("Area", "1"), label("__name__", "a_total"), label("job", "tidemark"), label("zone", "é")];
  const sample = field(2, double(1.5), Buffer.from([16, 0xac, 2]));
  expect(message.toString("hex")).toBe(field(1, ...labels, sample).toString("hex"));
});

test("large times and special values", () => {
  const values = [Number.NaN, Number.POSITIVE_INFINITY, -0].map((value) => ({ name: "b", labels: {}, value }));
  const message = encodeSamples([{ name: "b", type: "gauge", help: "", values }], {}, 1_700_000_000_000);
  const time = Buffer.from([16, 0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31]);
  const wanted = values.map(({ value }) => field(1, label("__name__", "b"), field(2, double(value), time)));
  expect(message.toString("hex")).toBe(Buffer.concat(wanted).toString("hex"));
});

test("metadata carries type, family and help", () => {
  const families = [
    { name: "a", type: "histogram", help: "H.", values: [] },
    { name: "b", type: "untyped", help: "", values: [] },
  ];
  const wanted = [
    field(3, Buffer.from([8, 3]), field(2, "a"), field(4, "H.")),
    field(3, Buffer.from([8, 0]), field(2, "b"), field(4, "")),
  ];
  expect(encodeMetadata(families).toString("hex")).toBe(Buffer.concat(wanted).toString("hex"));
});

test("more than the first buffer", () => {
  const values = Array.from({ length: 5000 }, (_, i) => ({ name: `m${i}`, labels: { l: "v".repeat(50) }, value: i }));
  const message = encodeSamples([{ name: "m", type: "gauge", help: "", values }], {}, 1);
  expect(message.length).toBeGreaterThan(400_000);
  expect(message.includes("m4999")).toBe(true);
});
