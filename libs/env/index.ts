// libs/env/index.ts: the seams to the world outside: clock, chance, files, processes; the real ones and simulated ones.
export { type Clock, nodeClock, SimClock, type Timer } from "./clock.ts";
export {
  describeLines,
  describerOf,
  type FileDescriber,
  type FilePart,
  formatPart,
  HEAD_BYTES,
} from "./file-description.ts";
export {
  type DiskSpace,
  ensureDirectory,
  errorCode,
  errorText,
  type FileStat,
  type FileSystem,
  type OpenFile,
  type OpenMode,
  parentOf,
  readWhole,
  removeTree,
  replaceFile,
  replaceFileSoon,
} from "./fs.ts";
export { Gather } from "./gather.ts";
export { NodeFileSystem } from "./node-fs.ts";
export { packageRoot } from "./package-root.ts";
export { nodeProcesses, type Processes, runInBackground } from "./processes.ts";
export { cryptoRandom, type Random, SeededRandom } from "./random.ts";
export { SECTOR_BYTES } from "./sim-file.ts";
export { type SimCall, SimCrash, type SimFault, SimFileSystem } from "./sim-fs.ts";
export { eachInSlices, inSlices, oneSlice } from "./slices.ts";
