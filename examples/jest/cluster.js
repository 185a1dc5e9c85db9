const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { createInterface } = require("node:readline");

// A cluster of its own for each run of Jest. `cat` ends when Jest does, however that ends, and the cluster with it.
module.exports = async () => {
  const show = ["sh", "-c", 'echo "$REDIS_URL"; exec cat'];
  const run = spawn("rcluster", ["run", "--quiet", "--", ...show], { stdio: ["pipe", "pipe", "inherit"] });
  await once(run, "spawn").catch(({ message }) => { throw new Error(`rcluster is needed on PATH: ${message}`); });
  const { value: url } = await createInterface(run.stdout)[Symbol.asyncIterator]().next();
  if (!url) throw new Error("rcluster run gave no cluster");
  Object.assign(process.env, { REDIS_URL: url });
  globalThis.rcluster = run;
};
