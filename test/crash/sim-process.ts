// test/crash/sim-process.ts: one process of the simulation: its own way to the disk and to the clock, which ends with it.
// Without it the timers and retries of a dead process would go on working on the disk of its successor.
import {
  type Clock,
  type FileSystem,
  type Processes,
  type SimClock,
  SimCrash,
  type SimFileSystem,
  type Timer,
} from "../../libs/env/index.ts";

const running = new Set<number>();
let lastPid = 1000;

/** A process from its making to `end`. */
export class SimProcess {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly processes: Processes;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  private readonly pid = ++lastPid;
  private tellEnd!: () => void;

  constructor(disk: SimFileSystem, time: SimClock) {
    this.ended = new Promise((resolve) => {
      this.tellEnd = resolve;
    });
    running.add(this.pid);
    this.fs = mortalFiles(disk, () => this.alive);
    this.clock = mortalClock(time, () => this.alive);
    this.processes = {
      pid: this.pid,
      host: "sim",
      startOf: (pid) => (running.has(pid) ? `start of ${pid}` : undefined),
    };
  }

  get alive(): boolean {
    return running.has(this.pid);
  }

  end(): void {
    running.delete(this.pid);
    this.tellEnd();
  }
}

function mortalFiles(disk: SimFileSystem, alive: () => boolean): FileSystem {
  const own = <A extends unknown[], R>(call: (...args: A) => R): ((...args: A) => R) => {
    return (...args) => {
      if (!alive()) throw new SimCrash();
      return call(...args);
    };
  };
  return {
    open: own((path, mode) => disk.open(path, mode)),
    stat: own((path) => disk.stat(path)),
    list: own((folder) => disk.list(folder)),
    makeDirectory: own((path) => disk.makeDirectory(path)),
    rename: own((from, to) => disk.rename(from, to)),
    unlink: own((path) => disk.unlink(path)),
    link: own((from, to) => disk.link(from, to)),
    removeDirectory: own((path) => disk.removeDirectory(path)),
    space: own((folder) => disk.space(folder)),
    fsyncDir: own((folder, site) => disk.fsyncDir(folder, site)),
    fsyncDirSoon: async (folder, site) => {
      await undefined;
      own(() => disk.fsyncDir(folder, site))();
    },
  };
}

/** Timers and sleeps of a dead process never fire. */
function mortalClock(time: SimClock, alive: () => boolean): Clock {
  const unlessDead = (callback: () => void) => (): void => {
    if (alive()) callback();
  };
  return {
    nowMs: () => time.nowMs(),
    monotonicMs: () => time.monotonicMs(),
    sleep: (delayMs, signal) => time.sleep(delayMs, signal).then(() => (alive() ? undefined : new Promise(() => {}))),
    after: (delayMs, callback) => time.after(delayMs, unlessDead(callback)),
    every: (periodMs, callback) => {
      const timer: Timer = time.every(periodMs, () => (alive() ? callback() : timer.cancel()));
      return timer;
    },
  };
}
