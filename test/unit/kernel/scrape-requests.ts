// test/unit/kernel/scrape-requests.ts: remote write requests as a Prometheus sends them, from the shared node_exporter capture where it
// is, from made-up metrics of the same size elsewhere. For the kernels' tests and benches; everything follows from the seed.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { compressSync } from "snappy";
import { shared } from "../../needs.ts";
import { encodeV1, encodeV2, type PlainSeries } from "./write-messages.ts";

export interface Scrapes {
  /** Label pairs of one target's series, sorted by name, without instance and job. */
  readonly series: readonly (readonly (readonly [string, string])[])[];
  /** values[scrape][series]; undefined when the series was not in that scrape. */
  readonly values: readonly (readonly (number | undefined)[])[];
}

export interface ScrapeRequestOptions {
  readonly targets: number;
  readonly scrapes: number;
  readonly samplesPerRequest: number;
  readonly version: 1 | 2;
  /** Mixes the series within each request. */
  readonly shuffled?: boolean;
  readonly startMs?: number;
}

export interface ScrapeRequest {
  readonly body: Uint8Array;
  readonly message: Uint8Array;
  readonly samples: number;
}

/** A small generator with a seed, so that every run sees the same bytes. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function parseLabels(key: string): [string, string][] {
  const [, name, rest] = /^([^{]+)(?:\{(.*)\})?$/.exec(key)!;
  const labels: [string, string][] = [["__name__", name!]];
  for (const [, label, value] of (rest ?? "").matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g))
    labels.push([label!, value!]);
  return labels;
}

/** The first scrapes of the capture, or metrics made up when it isn't there. */
export function readScrapes(count: number): Scrapes {
  const file = shared("data/node_exporter.jsonl.gz");
  if (file === undefined) return inventScrapes(count);
  const lines = gunzipSync(readFileSync(file)).toString().trim().split("\n").slice(0, count);
  const numbers = new Map<string, number>();
  const values = lines.map((line) => {
    const row: (number | undefined)[] = [];
    for (const text of (JSON.parse(line) as { text: string }).text.split("\n")) {
      const cut = text.lastIndexOf(" ");
      const key = text.slice(0, cut);
      let index = numbers.get(key);
      if (index === undefined) {
        index = numbers.size;
        numbers.set(key, index);
      }
      row[index] = Number(text.slice(cut + 1).replace("+Inf", "Infinity"));
    }
    return row;
  });
  return { series: [...numbers.keys()].map(parseLabels), values };
}

function inventScrapes(count: number): Scrapes {
  const random = seeded(5);
  const series = Array.from({ length: 507 }, (_, i): [string, string][] => [
    ["__name__", `node_invented_metric_number_${i >> 3}_total`],
    ["cpu", String(i & 7)],
    ["mode", ["idle", "user", "system", "iowait"][i & 3]!],
  ]);
  const values = Array.from({ length: count }, (_, s) => series.map((_, i) => (i % 3 === 0 ? s * i + random() : i)));
  return { series, values };
}

/** Requests of whole scrapes, target after target, cut into pieces of `samplesPerRequest`. */
export function makeRequests(options: ScrapeRequestOptions): ScrapeRequest[] {
  const { series, values } = readScrapes(options.scrapes + 16);
  const random = seeded(9);
  const startMs = options.startMs ?? 1_750_000_000_000;
  const out: ScrapeRequest[] = [];
  let piece: PlainSeries[] = [];
  const flush = (): void => {
    if (piece.length === 0) return;
    if (options.shuffled) {
      for (let i = piece.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [piece[i], piece[j]] = [piece[j]!, piece[i]!];
      }
    }
    const message = options.version === 1 ? encodeV1(piece) : encodeV2(piece);
    out.push({ body: compressSync(message), message, samples: piece.length });
    piece = [];
  };
  const labels = Array.from({ length: options.targets }, (_, t) =>
    series.map((own) =>
      [
        ...own,
        ["instance", `host-${String(t).padStart(6, "0")}.dc${t % 4}.example:9100`] as const,
        ["job", "node_exporter"] as const,
      ].sort((a, b) => (a[0] < b[0] ? -1 : 1)),
    ),
  );
  for (let s = 0; s < options.scrapes; s++) {
    for (let t = 0; t < options.targets; t++) {
      const late = random() < 0.01 ? Math.round(random() * 25) : 0;
      const timeMs = startMs + s * 15_000 + ((t * 6421) % 14_950) + late;
      const row = values[(s + t * 7) % values.length]!;
      for (let k = 0; k < series.length; k++) {
        const value = row[k];
        if (value === undefined) continue;
        piece.push({ labels: labels[t]![k]!, samples: [[timeMs, value]] });
        if (piece.length === options.samplesPerRequest) flush();
      }
    }
  }
  flush();
  return out;
}
