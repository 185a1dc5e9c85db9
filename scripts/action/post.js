// The post step: ends the cluster, whatever became of the job. Servers are started with an empty environment, so the runner
// does not know them for the job's (RUNNER_TRACKING_ID) and would leave them running.
"use strict";
const runner = require("./runner.js");

async function post() {
  const { STATE_program: program, STATE_name: name, STATE_home: home } = process.env;
  // The main step ended before it knew what it would start.
  if (!program) return;
  const global = ["--name", name, "--home", home];

  // Too late to be uploaded, since no step comes after this one; what went wrong stands in the log of the job.
  if (["failure", "cancelled"].includes(runner.input("job-status"))) {
    const errors = await runner.run(program, [...global, "logs", "--errors"]);
    // 5: there are some.
    if (errors.code === 5) runner.group(`errors in the logs of ${name}`, errors.out);
  }

  const down = await runner.run(program, [...global, "down", "--yes"]);
  if (down.code === 0) {
    runner.quote(down.out);
    return;
  }
  runner.error(`${down.err.trim() || down.failure}\nthe nodes of cluster ${name} may still run`, "rcluster down");
  process.exitCode = 1;
}

post().catch((failure) => {
  runner.error(failure.message);
  process.exitCode = 1;
});
