// services/cli/warm-up-traffic.ts: what the warm-up writes: scrapes of a few hosts as remote-write messages, as varied as real ones, since code
// that V8 has compiled for one kind of data is thrown away when the first of another kind comes: times that jitter, values that go at their own
// speeds, hosts that are away at times or begin anew, pods whose series are new.
import type { ExposedFamily } from "../../libs/runtime/index.ts";
import { encodeSamples } from "./remote-write-message.ts";

export const STEP_MS = 1000;
const HOSTS = 10;
const CPUS = 2;
const MODES = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const BOUNDS = ["0.1", "0.5", "2.5", "+Inf"];
const GAUGES = 14;
/** Each host begins anew every so many scrapes. */
const RESTART_EVERY = 60;
const COUNTERS = CPUS * MODES.length + BOUNDS.length;
/** Every so many scrapes other pods, with so many series; so many times. */
const PODS_EVERY = 8;
const POD_SERIES = 100;
const PODS_MAX = 40;
/** In a message: the tag before a sample's time, and the bytes of the value before it. */
const TIME_TAG = 0x10;
const VALUE_BYTES = 8;
/** What the names of pods begin with, and nothing else in their messages; so many digits follow. */
const POD = "pod-";
const POD_DIGITS = 2;

/** Scrapes one after the other. */
export class Traffic {
  /** Of the newest scrape. */
  timeMs: number;
  /** Scrapes so far. */
  count = 0;
  private readonly hosts: Report[];
  private readonly pods: Report;

  constructor(startMs: number) {
    this.timeMs = startMs;
    this.hosts = Array.from({ length: HOSTS }, (_, host) => new Report(hostFamilies(host), "warm", startMs));
    this.pods = new Report(podFamilies(), "warm-pods", startMs);
  }

  /** The message of the next scrape, not compressed. */
  next(): Uint8Array {
    this.count++;
    this.timeMs += STEP_MS;
    const parts: Uint8Array[] = [];
    for (const [host, report] of this.hosts.entries()) {
      // Host 9 misses every seventh scrape; the times of each host stray by some milliseconds.
      if (host === 9 && this.count % 7 === 0) continue;
      if ((this.count + 7 * host) % RESTART_EVERY === 0) report.restart();
      const jitterMs = host < 5 ? 0 : (this.count * host) % 3;
      report.advance(this.timeMs - host * 20 + jitterMs, this.count, host);
      parts.push(report.message);
    }
    if (this.count % PODS_EVERY === 0 && this.count <= PODS_EVERY * PODS_MAX) {
      this.pods.rename(this.count / PODS_EVERY);
      this.pods.advance(this.timeMs, this.count, 0);
      parts.push(this.pods.message);
    }
    return Buffer.concat(parts);
  }
}

/** The message of one target. Only the first is encoded: what changes has fixed places, and encoding would take longer than storing. */
class Report {
  readonly message: Buffer;
  /** Where each sample's value stands; its time follows, behind a tag. */
  private readonly places: number[] = [];
  private readonly firsts: number[] = [];
  private readonly values: number[] = [];

  constructor(families: readonly ExposedFamily[], job: string, startMs: number) {
    this.message = encodeSamples(families, { job }, startMs);
    const stamp = stampOf(startMs);
    for (let at = this.message.indexOf(stamp); at >= 0; at = this.message.indexOf(stamp, at + stamp.length)) {
      this.places.push(at - VALUE_BYTES);
      this.firsts.push(this.message.readDoubleLE(at - VALUE_BYTES));
      this.values.push(0);
    }
  }

  /** Counters go on at speeds that change, gauges go up and down. */
  advance(timeMs: number, count: number, host: number): void {
    const stamp = stampOf(timeMs);
    for (let i = 0; i < this.places.length; i++) {
      const place = this.places[i]!;
      const first = this.firsts[i]!;
      if (i >= COUNTERS) this.values[i] = first * (1 + ((count * (i + host)) % 7));
      else if ((count + i) % 3 > 0) this.values[i]! += first * (1 + ((count * (host + 1)) % 5));
      this.message.writeDoubleLE(this.values[i]!, place);
      this.message.set(stamp, place + VALUE_BYTES);
    }
  }

  /** Counters begin at zero. */
  restart(): void {
    this.values.fill(0, 0, COUNTERS);
  }

  /** Makes all of its series those of other pods. */
  rename(number: number): void {
    const digits = String(number).padStart(POD_DIGITS, "0");
    for (let at = this.message.indexOf(POD); at >= 0; at = this.message.indexOf(POD, at + 1)) {
      this.message.write(digits, at + POD.length);
    }
  }
}

/** The time of a sample as it stands in a message: six bytes of varint until the year 2109. */
function stampOf(timeMs: number): Buffer {
  const stamp = Buffer.from([TIME_TAG, 0, 0, 0, 0, 0, 0]);
  let rest = timeMs;
  for (let i = 1; i <= 6; i++) {
    stamp[i] = (rest % 128) | (i < 6 ? 128 : 0);
    rest = Math.floor(rest / 128);
  }
  return stamp;
}

/** Counters first. */
function hostFamilies(host: number): ExposedFamily[] {
  const values: ExposedFamily["values"][number][] = [];
  const instance = `host-${host}`;
  for (let cpu = 0; cpu < CPUS; cpu++) {
    for (const [i, mode] of MODES.entries()) {
      const labels = { instance, cpu: String(cpu), mode };
      values.push({ name: "warm_cpu_seconds_total", labels, value: (i + 1.25) * (1 + host / 8) });
    }
  }
  for (const [i, le] of BOUNDS.entries()) {
    values.push({ name: "warm_latency_seconds_bucket", labels: { instance, le }, value: i + 1 });
  }
  for (let gauge = 0; gauge < GAUGES; gauge++) {
    values.push({ name: `warm_gauge_${gauge}_bytes`, labels: { instance }, value: 4096 * (gauge + 1) + host });
  }
  return [{ name: "warm", help: "", type: "gauge", values }];
}

function podFamilies(): ExposedFamily[] {
  const values: ExposedFamily["values"][number][] = [];
  for (let i = 0; i < POD_SERIES; i++) {
    const labels = { pod: `${POD}${"0".repeat(POD_DIGITS)}_${i}`, namespace: `team-${i % 7}`, container: "main" };
    values.push({ name: `warm_pod_restarts_${i % 4}_total`, labels, value: i + 1 });
  }
  return [{ name: "warm", help: "", type: "gauge", values }];
}
