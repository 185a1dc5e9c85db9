// The post step: ends the cluster, whatever became of the job. Servers are started with an empty environment, so the runner
// does not know them for the job's (RUNNER_TRACKING_ID) and would leave them running.
"use strict";
const path = require("node:path");
const runner = require("./runner.js");

async function post() {
  const { STATE_program: program, STATE_name: name, STATE_home: home } = process.env;
  // The main step ended before it knew what it would start.
  if (!program) return;
  const global = ["--name", name, "--home", home];

  // `down` deletes the logs. No step comes after this one that could upload them, so what went wrong stands in the log of
  // the job too.
  if (["failure", "cancelled"].includes(runner.input("job-status"))) {
    const errors = await runner.run(program, [...global, "logs", "--errors"]);
    // 5: there are some.
    if (errors.code === 5) runner.group(`errors in the logs of ${name}`, errors.out);
    await keep(program, global, name);
  }

  const down = await runner.run(program, [...global, "down", "--yes"]);
  if (down.code === 0) {
    runner.quote(down.out);
    return;
  }
  runner.error(`${down.err.trim() || down.failure}\nthe nodes of cluster ${name} may still run`, "rcluster down");
  process.exitCode = 1;
}

// Keeps the logs where post steps of actions that stand before this one in the job, which run after it, may still find them.
async function keep(program, global, name) {
  if (!process.env.RUNNER_TEMP) return;
  const dir = path.join(process.env.RUNNER_TEMP, `rcluster-logs-${name}`);
  const kept = await runner.run(program, [...global, "logs", "--export", dir]);
  if (kept.code === 0) {
    runner.notice(`logs, configurations and status of cluster ${name}: ${dir}`);
  } else if (kept.code !== 4) {
    // 4: there is no cluster.
    runner.quote(`the logs of cluster ${name} were not kept: ${kept.err.trim() || kept.failure}`);
  }
}

post().catch((failure) => {
  runner.error(failure.message);
  process.exitCode = 1;
});
