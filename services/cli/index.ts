// services/cli/index.ts: what tests and embedders use of the command line: the compositions themselves.
export { ALL_FLAGS, type AllValues, startAll } from "./all.ts";
export { INSERT_FLAGS, startInsert } from "./insert.ts";
export { commands, main, packageVersion } from "./main.ts";
export { SELECT_FLAGS, startSelect } from "./select.ts";
export type { RunningService } from "./shell.ts";
export { STORAGE_FLAGS, startStorage } from "./storage.ts";
