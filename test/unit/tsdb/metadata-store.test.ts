// test/unit/tsdb/metadata-store.test.ts: metadata as the log repeats it: all of it, as it is now, in bounded blocks.
import { expect, test } from "vitest";
import type { MetadataEntry } from "../../../libs/model/index.ts";
import { decodeMetadata, MetadataStore } from "../../../libs/tsdb/metadata-store.ts";

const entry = (tenant: string, family: string, help: string): MetadataEntry => ({
  ...{ tenant, family, type: "gauge", help, unit: "" },
});

function repeated(store: MetadataStore): { entries: MetadataEntry[]; sizes: number[] } {
  const entries: MetadataEntry[] = [];
  const sizes: number[] = [];
  for (let from = 0; from < store.metadataEnd; ) {
    const { body, end } = store.repeatMetadata(from);
    expect(end).toBeGreaterThan(from);
    entries.push(...decodeMetadata(body));
    sizes.push(body.length);
    from = end;
  }
  return { entries, sizes };
}

test("repeats each family once, with what was put last, across tenants", () => {
  const store = new MetadataStore();
  store.put([entry("a", "one", "x"), entry("b", "one", "é\n\0"), entry("a", "two", "y")]);
  store.put([entry("a", "one", "newer")]);
  expect(store.metadataEnd).toBe(3);
  const { entries, sizes } = repeated(store);
  expect(entries).toEqual([entry("a", "one", "newer"), entry("b", "one", "é\n\0"), entry("a", "two", "y")]);
  expect(sizes.length).toBe(1);
  expect(store.find("a", "")).toEqual([entry("a", "one", "newer"), entry("a", "two", "y")]);
  expect(new MetadataStore().metadataEnd).toBe(0);
});

test("blocks are bounded; an entry longer than a block has one of its own", () => {
  const store = new MetadataStore();
  const long = entry("t", "f".repeat(150_000), "");
  const many = Array.from({ length: 500 }, (_, i) => entry("t", `f${i}`, "日".repeat(4_000)));
  store.put([many[0]!, long, ...many.slice(1)]);
  const { entries, sizes } = repeated(store);
  expect(entries).toEqual([many[0], long, ...many.slice(1)]);
  expect(sizes.length).toBeGreaterThan(20);
  expect(Math.max(...sizes)).toBeLessThan(310_000);
  expect(sizes[1]).toBeGreaterThan(150_000);
});
