// test/crash/sim-world.ts: a disk that forgets, a storage that dies on it again and again, two inserts, and clients that keep a ledger.
// Everything follows from the seed. The real Db and the real IngestHandler run; only disk, clock and process table are simulated.
import { readWhole, removeTree, SeededRandom, SimClock, SimFileSystem } from "../../libs/env/index.ts";
import { CorruptionError, type FloatHistogram, labelsKey } from "../../libs/model/index.ts";
import { Engine } from "../../libs/promql/index.ts";
import { compareHistograms } from "../../libs/side/histogram-bytes.ts";
import { Db, type DbOptions } from "../../libs/tsdb/index.ts";
import type { WriteReply } from "../../services/insert/index.ts";
import { type Deleted, type FoundSeries, Ledger, type Outcome, wins } from "./ledger.ts";
import { SimInsert, type SimStorage } from "./sim-insert.ts";
import { SimPieceStore } from "./sim-piece-store.ts";
import { SimProcess } from "./sim-process.ts";
import {
  histogramsOf,
  isOfHistograms,
  MAX_FUTURE_MS,
  nativeOf,
  RETENTION_MS,
  type SentRequest,
  seriesKey,
  seriesOfHistograms,
  TENANTS,
  Traffic,
} from "./sim-traffic.ts";

const DATA_DIR = "/disk/data";
const INDEX = `${DATA_DIR}/index`;
const HOUR_MS = 3_600_000;
/** Two hours after a midnight: samples of some hours ago are of a day that is settled, and has rows. */
const START_MS = 19_676 * 24 * HOUR_MS + 2 * HOUR_MS;
const CLIENTS = 3;
const KIB = 1024;

export class Violation extends Error {}

/** A histogram is whole: all of it is what its count says. */
function expectNative(found: FloatHistogram): void {
  const wanted = nativeOf(found.count);
  if (compareHistograms(found, wanted) !== 0) throw new Violation(`another histogram of count ${found.count}`);
}

export class World {
  readonly fs = new SimFileSystem();
  readonly ledger = new Ledger();
  readonly clock: SimClock;
  /** What the persistent index was at some moment. */
  private olderIndex: Uint8Array | undefined;
  private readonly mark: (name: string) => void;
  private readonly random: SeededRandom;
  private readonly traffic: Traffic;
  private readonly segmentBytes: number;
  private readonly fullDisks: boolean;
  /** Many short lives, or few longer ones. */
  private readonly hurried: boolean;
  /** Length of a window of the head; short ones are cut into blocks while the world lives. */
  private readonly windowMs: number;
  private storage: SimStorage | undefined;
  private readonly inserts: (SimInsert | undefined)[] = [undefined, undefined];
  /** By family: the newest metadata that was acknowledged, and the newest that was sent. */
  private readonly families = new Map<string, { acknowledged: number; sent: number }>();
  /** Deletions whose outcome a crash has kept secret: asked for again after the next start. */
  private undecided: { deleted: Deleted; told: Map<string, Outcome>; tenant: string; undo: boolean }[] = [];
  private readonly deleteUndoMs: number;
  private deletions = 0;
  /** While a deletion is at work no client sends: who came first is plain. */
  private paused = false;
  private inFlight = 0;
  private failedStarts = 0;
  private calm = false;
  private over = false;
  private problem: Violation | undefined;

  constructor(seed: number, mark: (name: string) => void) {
    this.mark = mark;
    this.random = new SeededRandom(seed);
    this.traffic = new Traffic(this.random);
    this.segmentBytes = this.random.pick([1, 2, 8, 1024]) * KIB;
    this.fullDisks = this.random.chance(0.4);
    this.hurried = this.random.chance(0.5);
    this.windowMs = this.random.pick([8_000, 60_000, 7_200_000]);
    this.deleteUndoMs = this.random.pick([5_000, 86_400_000]);
    // Late in the evening nothing is settled yet.
    this.clock = new SimClock(this.random.chance(0.35) ? START_MS : START_MS - 4 * HOUR_MS);
    this.fs.nowMs = () => this.clock.nowMs();
    this.fs.makeDirectory("/disk");
    this.fs.fsyncDir("/", "");
  }

  /** Errors: Violation. */
  async run(): Promise<void> {
    for (const which of this.inserts.keys()) this.restartInsert(which);
    const clients = Array.from({ length: CLIENTS }, (_, i) => this.client(i));
    for (let lives = this.hurried ? 10 : 5; lives > 0; lives--) {
      this.armCrash();
      this.storage = await this.start();
      if (this.storage !== undefined) await this.live();
      await this.endStorage();
    }
    this.calm = true;
    this.storage = await this.start();
    await this.clock.advance(20_000);
    this.check("at the end");
    const before = this.ledger.acknowledged;
    await this.clock.advance(20_000);
    if (this.ledger.acknowledged === before) throw new Violation("nothing is acknowledged although all is well");
    this.over = true;
    await this.clock.advance(60_000);
    await Promise.all(clients);
    await this.endStorage();
    this.storage = await this.start();
    await this.endStorage();
    for (const insert of this.inserts) insert?.process.end();
    if (this.problem !== undefined) throw this.problem;
  }

  private armCrash(): void {
    const { random } = this;
    const crashAt = this.fs.calls + 1 + random.below(random.pick(this.hurried ? [20, 80] : [40, 400, 1500]));
    // Any call, or the first of a kind or of a sync site from there on.
    const kind = random.pick([
      undefined,
      undefined,
      "read",
      "write",
      "fdatasync",
      "fsyncDir",
      "wal-group",
      "wal-group",
      "block-registry-file",
      "block-registry-name",
      "level-block-file",
      "level-block-name",
      "index-batch",
    ]);
    this.fs.faults = (call) => {
      if (call.number < crashAt || (kind !== undefined && call.kind !== kind && call.site !== kind)) return undefined;
      const inWal = call.path.endsWith(".wal");
      if (this.storage === undefined && call.kind === "read" && inWal) this.mark("crash in replay");
      if (this.storage !== undefined && ((call.kind === "open" && inWal) || call.site === "wal-segment"))
        this.mark("crash at a roll");
      return "crash";
    };
  }

  /** Opens the directory and compares it with the ledger. Undefined: the process died on the way. */
  private async start(): Promise<SimStorage | undefined> {
    const { fs, clock, random } = this;
    const process = new SimProcess(fs, clock);
    let opened: Db | undefined;
    let error: unknown;
    const open = async (): Promise<Db> => {
      if (process.fs.stat(DATA_DIR) === undefined) process.fs.makeDirectory(DATA_DIR);
      return Db.open({ ...options, pieceStore: await SimPieceStore.open(process.fs, INDEX) });
    };
    const options: DbOptions = {
      dataDir: DATA_DIR,
      fs: process.fs,
      clock: process.clock,
      random,
      processes: process.processes,
      shardCount: 4,
      headMemoryBytes: 1024 * KIB,
      retentionMs: RETENTION_MS,
      maxFutureMs: MAX_FUTURE_MS,
      seriesMax: 500,
      walMode: "inline",
      walSegmentBytes: this.segmentBytes,
      walBufferBytes: 1024 * KIB,
      windowMs: this.windowMs,
      lateWindowMs: this.windowMs / 8,
      deleteUndoMs: this.deleteUndoMs,
    };
    const opening = open().then(
      (db) => {
        opened = db;
      },
      (reason) => {
        error = reason;
      },
    );
    while (opened === undefined && error === undefined) await clock.advance(100);
    await opening;
    if (opened !== undefined) {
      this.storage = { process, db: opened };
      this.failedStarts = 0;
      await this.afterStart(opened);
      await this.checkMetadata(opened);
      await this.checkIndex(opened);
      await this.checkRows(opened);
      return this.storage;
    }
    process.end();
    if (!fs.crashed) throw new Violation(`refused to open: ${(error as Error).message}`);
    this.mark("crash while starting");
    if (++this.failedStarts > 1) this.mark("crash while starting again");
    return undefined;
  }

  private async afterStart(db: Db): Promise<void> {
    for (const one of db.replayed.damage) {
      this.mark(one.kind === "tail" ? "torn tail cut" : "damage in the last group");
      if (one.reason.startsWith("missing segment")) throw new Violation(`${one.path} is missing`);
    }
    await this.decideDeletions(db);
    const before = this.ledger.acknowledged;
    this.check("after a start");
    if (!this.fs.crashed) this.unseen(() => this.ledger.adopt(this.found()));
    if (this.ledger.acknowledged > before) this.mark("unacknowledged samples survived");
  }

  /** Errors: Violation when the storage does not hold what it must. */
  private check(when: string): void {
    // A dead process reads no blocks.
    if (this.fs.crashed) return;
    const wrong = this.unseen(() => this.ledger.violations(this.found()));
    if (wrong.length > 0) throw new Violation(`${when}: ${wrong.length} violations: ${wrong.slice(0, 5).join("; ")}`);
  }

  /** The newest metadata that was acknowledged is there, or newer one that was sent; which then must stay. */
  private async checkMetadata(db: Db): Promise<void> {
    for (const tenant of TENANTS) {
      const context = {
        tenant,
        signal: new AbortController().signal,
        deadlineMs: Number.POSITIVE_INFINITY,
        samplesMax: 1,
      };
      const found = await db.queryable.metadata("", context);
      const versions = new Map(
        found.map(({ family, help }) => [JSON.stringify([tenant, family]), Number(help.slice(3))]),
      );
      for (const [key, family] of this.families) {
        if (!key.startsWith(`["${tenant}"`)) continue;
        const version = versions.get(key) ?? 0;
        if (version < family.acknowledged || version > family.sent) {
          throw new Violation(`metadata of ${key}: ${version}; want ${family.acknowledged} to ${family.sent}`);
        }
        if (version > 0) this.mark("metadata kept");
        family.acknowledged = version;
      }
    }
  }

  /** What the index finds is what reading all labels finds. */
  private async checkIndex(db: Db): Promise<void> {
    if (this.fs.crashed) return;
    const { faults } = this.fs;
    this.fs.faults = () => undefined;
    const range = { minMs: 0, maxMs: this.clock.nowMs() + MAX_FUTURE_MS };
    for (const tenant of TENANTS) {
      const context = { tenant, signal: new AbortController().signal, deadlineMs: Infinity, samplesMax: 1 };
      const indexed = new Set((await db.queryable.series([], range, 0, context)).map(labelsKey));
      for (const { labels, times } of db.export(tenant, [])) {
        if (times.length > 0 && !indexed.has(labelsKey(labels))) throw new Violation(`the index lacks ${labels}`);
      }
    }
    this.fs.faults = faults;
  }

  /** What rows say is what samples say. */
  private async checkRows(db: Db): Promise<void> {
    if (this.fs.crashed) return;
    if (db.damagedBlocks.length > 0) throw new Violation(`damaged without damage: ${db.damagedBlocks}`);
    if (db.report().levels.every(({ level, count }) => level === "raw" || count === 0)) return;
    this.mark("rows found");
    if (this.random.chance(0.6)) return;
    const { faults } = this.fs;
    this.fs.faults = () => undefined;
    const engine = new Engine({ now: () => this.clock.nowMs() });
    const end = START_MS - 2 * HOUR_MS;
    for (const tenant of TENANTS) {
      const context = { tenant, signal: new AbortController().signal, deadlineMs: Infinity, samplesMax: 1e9 };
      const ask = async (query: string, level: "raw" | "1h"): Promise<string> => {
        const { value } = await engine.range(db.queryable, query, end - 6 * HOUR_MS, end, HOUR_MS, context, { level });
        if (value.type !== "matrix") throw new Error("no matrix");
        return JSON.stringify(
          value.columns.map((one) => [labelsKey(one.labels), [...one.values].map(String), one.present]).sort(),
        );
      };
      for (let metric = 0; metric < 6; metric++) {
        const query = `count_over_time(metric_${metric}[1h])`;
        const rows = await ask(query, "1h");
        // What is committed meanwhile, both see at last.
        if (rows !== (await ask(query, "raw")) && (await ask(query, "1h")) !== (await ask(query, "raw"))) {
          throw new Violation(`rows of ${tenant} differ: ${query}: ${rows}; want ${await ask(query, "raw")}`);
        }
      }
    }
    this.fs.faults = faults;
  }

  /** Between two processes: the index is lost, damaged, or an older one. */
  private harmIndex(): void {
    const { fs, random } = this;
    const path = `${INDEX}/log`;
    const bytes = fs.stat(INDEX) === undefined ? undefined : readWhole(fs, path);
    if (bytes === undefined || bytes.length === 0) return;
    this.mark("index harmed");
    const kind = random.below(3);
    if (kind === 0) fs.flip(path, random.below(bytes.length), 4);
    else if (kind === 1) removeTree(fs, INDEX);
    else if (this.olderIndex !== undefined) {
      removeTree(fs, INDEX);
      fs.makeDirectory(INDEX);
      const file = fs.open(path, "create");
      file.write(this.olderIndex, 0);
      file.close();
    }
    if (random.chance(0.3)) this.olderIndex = bytes;
  }

  /** Errors: Violation for a block that is damaged where it is read: a crash damages none that is live. */
  private *found(): Generator<FoundSeries> {
    try {
      yield* this.exported();
    } catch (error) {
      throw error instanceof CorruptionError ? new Violation(error.message) : error;
    }
  }

  private *exported(): Generator<FoundSeries> {
    for (const tenant of TENANTS) {
      for (const { labels, times, values, side } of this.storage!.db.export(tenant, [])) {
        const pairs = labels.flatMap((name, i) => (i % 2 === 0 ? [[name, labels[i + 1]!] as const] : []));
        const series = seriesKey(tenant, pairs);
        yield { series, times, bits: new BigUint64Array(values.buffer, 0, values.length) };
        const counts = Float64Array.from(side.histograms, ({ histogram }) => histogram!.count);
        for (const { histogram } of side.histograms) expectNative(histogram!);
        const sideTimes = Float64Array.from(side.histograms, ({ timeMs }) => timeMs);
        yield { series: histogramsOf(series), times: sideTimes, bits: new BigUint64Array(counts.buffer) };
      }
    }
  }

  /** Deletes what a selector matches, or undoes a deletion, while nothing is written; the process may die at any call of it. */
  private async deleteSome(): Promise<void> {
    const { random, fs, ledger, clock } = this;
    const { db, process } = this.storage!;
    this.paused = true;
    for (let turn = 0; this.inFlight > 0 && turn < 300 && !fs.crashed; turn++) await clock.advance(100);
    if (this.inFlight === 0 && !fs.crashed) {
      const tenant = random.pick(TENANTS);
      const listed = await Promise.race([db.deletable.deletions(tenant), process.ended.then(() => [])]);
      const undone = listed.length > 0 && random.chance(0.6) ? random.pick(listed) : undefined;
      const deleted = this.drawDeletion(tenant, undone?.id);
      const told = ledger.tell(deleted);
      const { id, minMs, maxMs, matchers } = deleted;
      if (undone === undefined) ledger.doubt(deleted);
      else ledger.show(id, false);
      const request = { id, tenant, minMs, maxMs, sets: [matchers], selectors: [JSON.stringify(matchers)] };
      const work = undone === undefined ? db.deletable.deleteSeries(request) : db.deletable.undelete(tenant, id);
      let outcome: "done" | "refused" | undefined;
      const settled = work.then(
        () => {
          outcome = "done";
        },
        () => {
          outcome = "refused";
        },
      );
      void settled;
      for (let turn = 0; outcome === undefined && turn < 300 && !fs.crashed; turn++) {
        await clock.advance(100);
        // On a full disk it waits for room. What is written again afterwards must not be taken for what it hides.
        if (turn === 100) fs.capacityBytes = Number.POSITIVE_INFINITY;
      }
      if (outcome === "done" && undone === undefined) {
        ledger.hide(deleted, told);
        this.mark("deletion acknowledged");
      } else if (outcome === "done") {
        ledger.show(id, true);
        this.mark("deletion undone");
      } else {
        this.undecided.push({ deleted, told, tenant, undo: undone !== undefined });
        this.mark("deletion interrupted");
      }
    }
    this.paused = false;
  }

  private drawDeletion(tenant: string, undone: string | undefined) {
    const { random, clock } = this;
    const name = random.chance(0.3) ? undefined : `metric_${random.below(6)}`;
    const job = random.pick(["node", "app"]);
    const matchers = [{ type: "=", name: name === undefined ? "job" : "__name__", value: name ?? job }] as const;
    const minMs = random.chance(0.5) ? -Number.MAX_SAFE_INTEGER : clock.nowMs() - random.below(4 * 3_600_000);
    const maxMs = random.chance(0.5) ? Number.MAX_SAFE_INTEGER : clock.nowMs() - random.below(60_000);
    const matches = (series: string): boolean => {
      const parts = JSON.parse(isOfHistograms(series) ? seriesOfHistograms(series) : series) as string[];
      const at = parts.indexOf(matchers[0].name, 1);
      return parts[0] === tenant && at % 2 === 1 && parts[at + 1] === matchers[0].value;
    };
    const id = undone ?? (++this.deletions).toString(16).padStart(16, "0");
    return { id, matchers, matches, minMs, maxMs };
  }

  /** After a start: whether deletions that nobody was told of are in effect. */
  private async decideDeletions(db: Db): Promise<void> {
    if (this.fs.crashed) return;
    for (const { deleted, told, tenant, undo } of this.undecided) {
      const isListed = (await db.deletable.deletions(tenant)).some(({ id }) => id === deleted.id);
      if (isListed && !undo) {
        this.ledger.hide(deleted, told);
        this.mark("deletion found after a crash");
      } else if (!isListed && undo && this.deleteUndoMs > 1e6) this.ledger.show(deleted.id, true);
      // Else it may be past undoing: what is found decides.
    }
    this.undecided = [];
  }

  /** Lets time pass until the process dies, or for a while. */
  private async live(): Promise<void> {
    const { random, fs, clock } = this;
    const first = this.storage!.db.report().wal.segment;
    for (let steps = random.below(this.hurried ? 5 : 40); steps > 0 && !fs.crashed; steps--) {
      for (const which of this.inserts.keys()) if (random.chance(0.01)) this.restartInsert(which);
      if (this.fullDisks && random.chance(0.05)) fs.capacityBytes = this.usedBytes() + random.below(3 * KIB);
      await clock.advance(random.pick([0, 1, 100, 1000, 15_000]));
      if (random.chance(0.06) && !fs.crashed) await this.deleteSome();
      if (fs.crashed) break;
      const report = this.storage!.db.report();
      if (report.wal.state === "full") {
        this.mark("disk full");
        if (random.chance(0.3)) await clock.advance(random.below(2000));
        this.check("with a full disk");
        fs.capacityBytes = Number.POSITIVE_INFINITY;
        await clock.advance(600);
        if (this.storage!.db.report().wal.state === "open") this.mark("disk full and recovered");
      }
      if (this.problem !== undefined) throw this.problem;
    }
    const { counters, wal, cuts, blocks, forgotten, numbersReused, side } = this.storage!.db.report();
    if (forgotten > 0) this.mark("series forgotten");
    if (numbersReused > 0) this.mark("number reused");
    if (first > 0 && wal.segment > first + 1) this.mark("rolls under load");
    if (cuts.blocks > 0) this.mark("cut into blocks");
    if (cuts.merged > 0) this.mark("blocks merged");
    if (cuts.rows > 0) this.mark("rows made");
    if (blocks.count > 0) this.mark("blocks found");
    if (side.files > 0) this.mark("files of histograms found");
    if (counters.sideOutvoted > 0) this.mark("histogram outvoted");
    if (!fs.crashed && this.firstSegment() > 1) this.mark("WAL truncated");
    if (counters.samplesDuplicate > 0) this.mark("repeat dropped");
    if (counters.samplesLate > 0) this.mark("late sample");
    if (counters.samplesOutvoted > 0) this.mark("sample outvoted");
    if (!fs.crashed) this.check("while running");
  }

  /** Ends the storage in one of three ways; a dead one stays dead. */
  private async endStorage(): Promise<void> {
    const { random, fs, storage } = this;
    fs.capacityBytes = Number.POSITIVE_INFINITY;
    this.storage = undefined;
    if (storage !== undefined && !fs.crashed && (this.calm || random.chance(0.2))) {
      fs.faults = () => undefined;
      await this.clock.advance(600);
      const closing = storage.db.close();
      await this.clock.advance(1000);
      await closing;
      if (fs.stat(`${DATA_DIR}/LOCK`) !== undefined) throw new Violation("a stopped storage left its lock behind");
      this.mark("stopped cleanly");
    }
    storage?.process.end();
    // What a dead process was told is told before its successor starts.
    await this.clock.advance(0);
    fs.faults = () => undefined;
    if (random.chance(0.4)) fs.kill();
    else fs.crash(random);
    if (random.chance(0.2)) this.harmIndex();
  }

  /** The simulation looks without being seen: its own calls are no chance to crash. */
  private unseen<T>(look: () => T): T {
    const { faults } = this.fs;
    this.fs.faults = () => undefined;
    try {
      return look();
    } finally {
      this.fs.faults = faults;
    }
  }

  private usedBytes(): number {
    const size = (path: string): number => {
      const stat = this.fs.stat(path);
      if (stat?.kind !== "directory") return stat?.sizeBytes ?? 0;
      return this.fs.list(path).reduce((sum, name) => sum + size(`${path}/${name}`), 0);
    };
    return this.fs.crashed ? 0 : this.unseen(() => size("/disk"));
  }

  /** Number of the first segment that is there. */
  private firstSegment(): number {
    const [first] = this.unseen(() => this.fs.list(`${DATA_DIR}/wal`));
    return first === undefined ? 0 : Number.parseInt(first, 10);
  }

  private restartInsert(which: number): void {
    if (this.inserts[which] !== undefined) this.mark("insert restarted");
    this.inserts[which]?.process.end();
    const reach = (): SimStorage | undefined => (this.fs.crashed ? undefined : this.storage);
    this.inserts[which] = new SimInsert(new SimProcess(this.fs, this.clock), this.random, reach);
  }

  private async client(number: number): Promise<void> {
    const { random, clock, ledger } = this;
    let again: SentRequest | undefined;
    while (!this.over) {
      await clock.sleep(random.pick([0, 5, 1000, 5000]));
      if (this.paused) {
        await clock.sleep(50);
        continue;
      }
      const request = again ?? this.traffic.compose(number, clock.nowMs());
      for (const { series, time, bits } of request.samples) ledger.record(series, time, bits, "unknown");
      this.recordMetadata(request, "sent");
      // Now and then the same twice at once, as two senders with one target would: the second one meets any stage of the commit.
      const copies = random.chance(0.3) ? [0, random.below(12)] : [0];
      this.inFlight++;
      try {
        const done = await Promise.all(copies.map((delay) => this.send(request, delay)));
        again = done.includes(true) || (random.chance(0.3) && !this.calm) ? undefined : request;
      } catch (error) {
        this.problem ??= error as Violation;
      }
      this.inFlight--;
    }
  }

  /** Sends a request some microtasks from now. Whether it was answered for good. */
  private async send(request: SentRequest, delay: number): Promise<boolean> {
    for (let i = 0; i < delay; i++) await undefined;
    const which = this.random.below(this.inserts.length);
    const reply = this.inserts[which]?.write(request);
    // Now and then the insert dies while the storage has the request.
    if (this.random.chance(0.01) && !this.calm) this.restartInsert(which);
    return this.judge(request, await reply);
  }

  /** Whether the request was answered for good. */
  private judge(request: SentRequest, reply: WriteReply | undefined): boolean {
    if (reply === undefined || reply.status === 503) {
      this.mark(reply === undefined ? "no answer" : "503");
      return false;
    }
    const want = request.outOfBounds > 0 ? 400 : 204;
    if (reply.status !== want) throw new Violation(`status ${reply.status}; want ${want}: ${reply.text}`);
    if (want === 400) this.mark("out of bounds refused");
    for (const { series, time, bits } of request.samples) {
      const known = this.ledger.owed(series, time);
      if (known !== undefined && known !== bits) this.mark(wins(bits, known) ? "conflict won" : "conflict lost");
      this.ledger.record(series, time, bits, "acknowledged");
      this.mark("sample acknowledged");
    }
    this.recordMetadata(request, "acknowledged");
    return true;
  }

  private recordMetadata(request: SentRequest, what: "sent" | "acknowledged"): void {
    for (const { family, help } of request.metadata) {
      const key = JSON.stringify([request.tenant, family]);
      const entry = this.families.get(key) ?? { acknowledged: 0, sent: 0 };
      entry[what] = Number(help.slice(3));
      this.families.set(key, entry);
    }
  }
}
