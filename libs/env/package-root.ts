// libs/env/package-root.ts: the folder that holds package.json, found the same way from the sources and from dist/.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InternalError } from "../model/index.ts";

/** The package's folder: compiled parts that must be named by path (workers, kernels) lie in its `dist`. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const above = dirname(folder);
    if (above === folder) {
      throw new InternalError("cannot find the package's folder: got no package.json; want one above");
    }
    folder = above;
  }
  return folder;
}
