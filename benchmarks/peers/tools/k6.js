// One PUT an iteration; at a rate (constant-arrival-rate) or as fast as the virtual users can.
import http from "k6/http";

const body = open(__ENV.BENCH_BODY, "b");
const users = Number(__ENV.BENCH_CONNECTIONS);
const duration = `${__ENV.BENCH_DURATION_S}s`;
const rate = Number(__ENV.BENCH_RATE);

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ["med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"],
  scenarios: {
    bench: rate
      ? {
          executor: "constant-arrival-rate", rate, timeUnit: "1s", duration,
          preAllocatedVUs: users, maxVUs: 4 * users,
        }
      : { executor: "constant-vus", vus: users, duration },
  },
};

export default function () {
  http.put(`${__ENV.BENCH_URL}/`, body);
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) + "\n" };
}
