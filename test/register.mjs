// test/register.mjs: `node --import ./test/register.mjs file.ts` runs TypeScript sources on Node 20, for benches and scripts.
import { register } from "node:module";

register("./ts-loader.mjs", import.meta.url);
