-- One PUT again and again; in the end a line of JSON with what wrk's own text leaves out (p99.9) or rounds.
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.method = "PUT"
wrk.body = file:read("*a")
file:close()

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "errors": %d', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout))
  for _, p in ipairs({ 50, 90, 95, 99, 99.9 }) do
    io.write(string.format(', "%g": %d', p, latency:percentile(p)))
  end
  io.write(string.format(', "max": %d}\n', latency.max))
end
